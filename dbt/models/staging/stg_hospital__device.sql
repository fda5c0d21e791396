with

record as (
    select * from {{ source('silver', 'hospital__device') }}
)

select
    device_key,
    source,
    status,
    status_reason_code,
    type_system,
    type_code,
    type_display,
    manufactured_at,
    manufactured_precision,
    expires_at,
    expires_precision,
    serial_key,
    lot_key,
    model_key,
    patient_key,
    organization_key,
    location_key,
    identifier_keys,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
