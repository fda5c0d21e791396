with

record as (
    select * from {{ source('silver', 'wearables__home_reading') }}
)

select
    home_reading_key,
    source,
    participant_key,
    kind,
    value,
    unit,
    systolic_mmhg,
    diastolic_mmhg,
    device,
    measured_at,
    synced_at,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    month,
    {{ is_withdrawn() }} as is_withdrawn
from record
