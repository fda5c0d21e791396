with

record as (
    select * from {{ source('silver', 'hospital__schedule') }}
)

select
    schedule_key,
    source,
    is_active,
    service_type_system,
    service_type_code,
    service_type_display,
    specialty_system,
    specialty_code,
    specialty_display,
    actor_keys,
    started_at,
    started_precision,
    ended_at,
    ended_precision,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
