with

record as (
    select * from {{ source('silver', 'hospital__practitioner') }}
)

select
    practitioner_key,
    source,
    sex,
    is_active,
    identifier_keys,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
