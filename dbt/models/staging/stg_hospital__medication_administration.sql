with

record as (
    select * from {{ source('silver', 'hospital__medication_administration') }}
)

select
    medication_administration_key,
    source,
    patient_key,
    encounter_key,
    status,
    category_code,
    code_system,
    code,
    code_display,
    medication_key,
    medication_request_key,
    effective_at,
    effective_precision,
    effective_end_at,
    effective_end_precision,
    dose_number,
    dose_text,
    dose_unit,
    rate_number,
    rate_unit,
    rate_denominator,
    rate_denominator_unit,
    route_system,
    route_code,
    route_display,
    reason_system,
    reason_code,
    reason_display,
    performer_keys,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    month,
    {{ is_withdrawn() }} as is_withdrawn
from record
