-- One row per person of dim_person and period in one place, with as many people in the dwelling. A period between two
-- known ones, or after the last, has no place. Without any address, the largest part of the postal district that
-- hospitals know stands in.
with

person as (
    select
        person_key,
        postal_district,
        coalesce(make_date(birth_year, coalesce(birth_month, 1), 1), date '1900-01-01') as born_from,
        case when is_deceased then {{ city_date('deceased_at') }} end as died_date
    from {{ ref('dim_person') }}
),

main_part as (
    select
        postal_district,
        district_code
    from {{ ref('int_postal_district__parted') }}
    where is_largest
),

residence as (
    select
        coalesce(link.person_key, residence.resident_key) as person_key,
        residence.residence_key,
        residence.dwelling_key,
        residence.postal_district,
        residence.moved_in_date,
        residence.moved_out_date
    from {{ ref('stg_housing__residence') }} as residence
    left join {{ ref('int_patient__linked') }} as link
        on residence.resident_key = link.patient_key
    where
        not residence.is_withdrawn
        and residence.resident_key is not null
        and residence.moved_in_date is not null
),

-- Who is registered at two addresses lives at the newer one.
ordered as (
    select
        residence.person_key,
        residence.dwelling_key,
        residence.postal_district,
        residence.moved_in_date as first_date,
        residence.moved_out_date,
        date_sub(
            lead(residence.moved_in_date) over (
                partition by residence.person_key order by residence.moved_in_date, residence.residence_key
            ), 1
        ) as before_next_date
    from residence
    left semi join person
        on residence.person_key = person.person_key
),

stay as (
    select
        person_key,
        dwelling_key,
        postal_district,
        first_date,
        before_next_date,
        least(
            coalesce(moved_out_date, date '9999-12-31'), coalesce(before_next_date, date '9999-12-31')
        ) as last_date
    from ordered
    where before_next_date is null or before_next_date >= first_date
),

placed as (
    select
        stay.person_key,
        case when dwelling.district_code is not null then stay.dwelling_key end as dwelling_key,
        coalesce(dwelling.postal_district, stay.postal_district) as postal_district,
        coalesce(dwelling.district_code, main_part.district_code) as district_code,
        case
            when dwelling.district_code is not null then 'address'
            when main_part.district_code is not null then 'postal_district'
            else 'none'
        end as place_precision,
        stay.first_date,
        stay.last_date
    from stay
    left join {{ ref('stg_housing__dwelling') }} as dwelling
        on stay.dwelling_key = dwelling.dwelling_key and not dwelling.is_withdrawn
    left join main_part
        on stay.postal_district = main_part.postal_district
    union all
    select
        person_key,
        cast(null as string) as dwelling_key,
        cast(null as string) as postal_district,
        cast(null as string) as district_code,
        'none' as place_precision,
        date_add(last_date, 1) as first_date,
        coalesce(before_next_date, date '9999-12-31') as last_date
    from stay
    where last_date < coalesce(before_next_date, date '9999-12-31')
    union all
    select
        person.person_key,
        cast(null as string) as dwelling_key,
        person.postal_district,
        main_part.district_code,
        case when main_part.district_code is not null then 'postal_district' else 'none' end as place_precision,
        person.born_from as first_date,
        date '9999-12-31' as last_date
    from person
    left anti join stay
        on person.person_key = stay.person_key
    left join main_part
        on person.postal_district = main_part.postal_district
),

dwelling as (
    select *
    from {{ ref('stg_housing__dwelling') }}
    where not is_withdrawn
),

period as (
    select
        placed.person_key,
        placed.postal_district,
        placed.district_code,
        placed.place_precision,
        placed.first_date as place_first_date,
        greatest(placed.first_date, coalesce(inhabited.first_date, placed.first_date)) as first_date,
        least(
            placed.last_date,
            coalesce(inhabited.last_date, placed.last_date),
            coalesce(person.died_date, placed.last_date)
        ) as last_date,
        dwelling.built_year,
        dwelling.is_damp,
        dwelling.heating,
        dwelling.energy_class,
        case when dwelling.rooms > 0 then inhabited.residents / cast(dwelling.rooms as double) end as residents_per_room
    from placed
    inner join person
        on placed.person_key = person.person_key
    left join dwelling
        on placed.dwelling_key = dwelling.dwelling_key
    left join {{ ref('int_dwelling__inhabited') }} as inhabited
        on
            placed.dwelling_key = inhabited.dwelling_key
            and placed.first_date <= inhabited.last_date
            and placed.last_date >= inhabited.first_date
)

-- The register may tell a stay or a move of after the person's death.
select *
from period
where first_date <= last_date
