with

record as (
    select * from {{ source('silver', 'hospital__procedure') }}
)

select
    procedure_key,
    source,
    patient_key,
    encounter_key,
    status,
    category_code,
    code_system,
    code,
    code_display,
    performed_at,
    performed_precision,
    performed_end_at,
    performed_end_precision,
    reason_system,
    reason_code,
    reason_display,
    body_site_system,
    body_site_code,
    body_site_display,
    outcome_system,
    outcome_code,
    outcome_display,
    performer_keys,
    location_key,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
