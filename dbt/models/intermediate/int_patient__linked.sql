with

patient as (
    select
        patient_key,
        source,
        is_withdrawn
    from {{ ref('stg_hospital__patient') }}
),

link as (
    select
        patient_key,
        source,
        person_key
    from {{ ref('stg_identity__person_link') }}
),

known as (
    select
        coalesce(patient.patient_key, link.patient_key) as patient_key,
        coalesce(patient.source, link.source) as source,
        coalesce(link.person_key, patient.patient_key) as person_key,
        coalesce(not patient.is_withdrawn, false) as is_patient_current
    from patient
    full outer join link
        on patient.patient_key = link.patient_key
)

select
    patient_key,
    source,
    person_key,
    is_patient_current,
    max(is_patient_current) over (partition by person_key) as is_person_current
from known
