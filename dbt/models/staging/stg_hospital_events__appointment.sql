with

record as (
    select * from {{ source('silver', 'hospital_events__appointment') }}
)

select
    appointment_key,
    source,
    patient_key,
    patient_keys,
    visit_key,
    trigger,
    nulled,
    placer_key,
    filler_key,
    status,
    reason_system,
    reason_code,
    type_system,
    type_code,
    starts_at,
    ends_at,
    duration_minutes,
    location_unit,
    location_facility,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    {{ house_of('source') }} as house,
    {{ is_withdrawn() }} as is_withdrawn
from record
