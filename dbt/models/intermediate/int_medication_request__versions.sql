-- Superseded versions, and those current rows (without `superseded_at`) that may have had another code: their
-- medication was received more than once.
select
    medication_request_key,
    source,
    patient_key,
    encounter_key,
    status,
    intent,
    is_prohibited,
    code_system,
    code,
    code_display,
    medication_key,
    authored_at,
    authored_precision,
    known_from,
    available_at,
    usable_at,
    is_withdrawn,
    cast(null as timestamp) as superseded_at
from {{ ref('stg_hospital__medication_request') }}
where
    medication_key in (
        select revised.medication_key
        from {{ source('silver', 'hospital__medication_revised') }} as revised
    )
union all
select
    medication_request_key,
    source,
    patient_key,
    encounter_key,
    status,
    intent,
    is_prohibited,
    code_system,
    code,
    code_display,
    medication_key,
    authored_at,
    authored_precision,
    known_from,
    available_at,
    usable_at,
    is_withdrawn,
    superseded_at
from ({{ superseded_versions('medication_request') }}) as superseded
