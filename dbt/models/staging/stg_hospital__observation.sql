with

record as (
    select * from {{ source('silver', 'hospital__observation') }}
)

select
    observation_key,
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
    value_type,
    value_number,
    value_text,
    value_comparator,
    unit,
    value_code_system,
    value_code,
    value_display,
    value_boolean,
    value_low,
    value_high,
    value_denominator,
    value_denominator_unit,
    interpretation_code,
    data_absent_reason,
    components,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    month,
    {{ is_withdrawn() }} as is_withdrawn
from record
