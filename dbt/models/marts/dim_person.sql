-- A field is that of the newest of the person's current records that tells it. Who is dead by one of them, or by
-- messages, is dead, since the time that is known best.
with

told as (
    select
        patient_key,
        source,
        sex,
        birth_year,
        birth_month,
        is_deceased,
        deceased_at,
        deceased_precision,
        postal_district,
        version_at,
        known_from,
        available_at,
        usable_at,
        true as is_record
    from {{ ref('stg_hospital__patient') }}
    where not is_withdrawn
    union all
    select
        patient_key,
        cast(null as string) as source,
        cast(null as string) as sex,
        cast(null as int) as birth_year,
        cast(null as int) as birth_month,
        is_deceased,
        deceased_at,
        deceased_precision,
        cast(null as string) as postal_district,
        version_at,
        known_from,
        available_at,
        usable_at,
        false as is_record
    from {{ ref('int_death__told') }}
    where is_deceased
),

placed as (
    select
        link.person_key,
        told.*,
        row_number() over (
            partition by link.person_key order by told.is_record asc, told.version_at asc, told.patient_key desc
        ) as place,
        row_number() over (
            partition by link.person_key
            order by
                told.birth_year is not null,
                told.birth_month is not null,
                told.version_at asc,
                told.patient_key desc
        ) as birth_place,
        row_number() over (
            partition by link.person_key
            order by
                case
                    when told.deceased_at is null then 0
                    when told.deceased_precision = 'year' then 1
                    when told.deceased_precision = 'month' then 2
                    when told.deceased_precision = 'day' then 3
                    when told.deceased_precision = 'hour' then 4
                    else 5
                end,
                told.version_at asc,
                told.deceased_at desc
        ) as death_place
    from told
    inner join {{ ref('int_patient__linked') }} as link
        on told.patient_key = link.patient_key
)

select
    person_key,
    max_by(source, place) as source,
    max_by(patient_key, place) as patient_key,
    coalesce(max_by(sex, case when sex <> 'unknown' then place end), 'unknown') as sex,
    max_by(birth_year, birth_place) as birth_year,
    max_by(birth_month, birth_place) as birth_month,
    coalesce(max(is_deceased), false) as is_deceased,
    max_by(deceased_at, death_place) as deceased_at,
    max_by(deceased_precision, death_place) as deceased_precision,
    max_by(postal_district, case when postal_district is not null then place end) as postal_district,
    max(known_from) as known_from,
    max(available_at) as available_at,
    max(usable_at) as usable_at
from placed
group by person_key
