-- One row per person of dim_person and period in one place, with as many people in the dwelling. A period between two
-- known ones, or after the last, has no place. Without any address, the largest part of the postal district that
-- hospitals know stands in.
with

person as (
    select
        person_key,
        postal_district,
        coalesce(make_date(birth_year, coalesce(birth_month, 1), 1), date '1900-01-01') as born_from,
        case
            when is_deceased then {{ last_local_date('deceased_at', 'deceased_precision', 'source') }}
        end as died_date
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
    left semi join person
        on coalesce(link.person_key, residence.resident_key) = person.person_key
    where
        not residence.is_withdrawn
        and residence.resident_key is not null
        and residence.moved_in_date is not null
),

cut as (
    select
        person_key,
        moved_in_date as first_date
    from residence
    union
    select
        person_key,
        date_add(moved_out_date, 1) as first_date
    from residence
    where moved_out_date is not null
),

-- Who is registered at two addresses lives at the newer one, and when that stay is over, at the older one again.
registered as (
    select
        cut.person_key,
        cut.first_date,
        residence.residence_key,
        residence.dwelling_key,
        residence.postal_district,
        row_number() over (
            partition by cut.person_key, cut.first_date
            order by residence.moved_in_date desc, residence.residence_key desc
        ) as place
    from cut
    left join residence
        on
            cut.person_key = residence.person_key
            and cut.first_date >= residence.moved_in_date
            and cut.first_date <= coalesce(residence.moved_out_date, date '9999-12-31')
),

changed as (
    select
        *,
        lag(residence_key) over (partition by person_key order by first_date) as earlier_residence_key
    from registered
    where place = 1
),

stay as (
    select
        person_key,
        dwelling_key,
        postal_district,
        first_date,
        coalesce(
            date_sub(lead(first_date) over (partition by person_key order by first_date), 1), date '9999-12-31'
        ) as last_date
    from changed
    where not (residence_key <=> earlier_residence_key)
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
