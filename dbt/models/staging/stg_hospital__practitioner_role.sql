with

record as (
    select * from {{ source('silver', 'hospital__practitioner_role') }}
)

select
    practitioner_role_key,
    source,
    practitioner_key,
    organization_key,
    role_system,
    role_code,
    role_display,
    specialty_system,
    specialty_code,
    specialty_display,
    location_keys,
    is_active,
    started_at,
    started_precision,
    ended_at,
    ended_precision,
    identifier_keys,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
