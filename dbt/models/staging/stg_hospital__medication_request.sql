with

record as (
    select * from {{ source('silver', 'hospital__medication_request') }}
)

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
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
