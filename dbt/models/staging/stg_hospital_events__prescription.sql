with

record as (
    select * from {{ source('silver', 'hospital_events__prescription') }}
)

select
    prescription_key,
    source,
    patient_key,
    patient_keys,
    visit_key,
    trigger,
    nulled,
    placer_key,
    filler_key,
    order_control,
    order_status,
    ordered_at,
    medication_system,
    medication_code,
    codings,
    dose_low,
    dose_high,
    dose_unit,
    form_code,
    route_code,
    frequency,
    amount,
    amount_unit,
    refills,
    starts_at,
    ends_at,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    {{ house_of('source') }} as house,
    {{ is_withdrawn() }} as is_withdrawn
from record
