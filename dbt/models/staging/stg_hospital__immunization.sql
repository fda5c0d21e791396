with

record as (
    select * from {{ source('silver', 'hospital__immunization') }}
)

select
    immunization_key,
    source,
    patient_key,
    encounter_key,
    status,
    code_system,
    code,
    code_display,
    occurred_at,
    occurred_precision,
    recorded_at,
    is_subpotent,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
