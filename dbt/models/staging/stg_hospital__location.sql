with

record as (
    select * from {{ source('silver', 'hospital__location') }}
)

select
    location_key,
    source,
    name,
    status,
    type_code,
    organization_key,
    identifier_keys,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
