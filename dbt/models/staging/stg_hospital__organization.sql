with

record as (
    select * from {{ source('silver', 'hospital__organization') }}
)

select
    organization_key,
    source,
    name,
    type_code,
    is_active,
    part_of_key,
    identifier_keys,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
