with

patient as (
    select *
    from {{ ref('stg_hospital__patient') }}
    where not is_withdrawn
),

link as (
    select
        patient_key,
        person_key
    from {{ ref('int_patient__linked') }}
),

ranked as (
    select
        link.person_key,
        patient.*,
        row_number() over (
            partition by link.person_key order by patient.version_at desc, patient.patient_key asc
        ) as recency
    from patient
    inner join link
        on patient.patient_key = link.patient_key
)

select
    person_key,
    source,
    patient_key,
    coalesce(sex, 'unknown') as sex,
    birth_year,
    birth_month,
    coalesce(is_deceased, false) as is_deceased,
    deceased_at,
    deceased_precision,
    postal_district,
    known_from,
    available_at,
    usable_at
from ranked
where recency = 1
