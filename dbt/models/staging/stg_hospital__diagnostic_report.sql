with

record as (
    select * from {{ source('silver', 'hospital__diagnostic_report') }}
)

select
    diagnostic_report_key,
    source,
    patient_key,
    encounter_key,
    status,
    category_code,
    code_system,
    code,
    code_display,
    effective_at,
    effective_precision,
    effective_end_at,
    effective_end_precision,
    issued_at,
    result_keys,
    conclusion_system,
    conclusion_code,
    conclusion_display,
    performer_keys,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    month,
    {{ is_withdrawn() }} as is_withdrawn
from record
