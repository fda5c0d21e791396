with

record as (
    select * from {{ source('silver', 'hospital_events__dispense') }}
)

select
    dispense_key,
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
    prescription_key,
    sub_id,
    dispensed_at,
    amount,
    amount_unit,
    refills_left,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    month,
    {{ house_of('source') }} as house,
    {{ is_withdrawn() }} as is_withdrawn
from record
