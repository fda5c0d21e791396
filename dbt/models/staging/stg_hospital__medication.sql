with

record as (
    select * from {{ source('silver', 'hospital__medication') }}
)

select
    medication_key,
    source,
    code_system,
    code,
    code_display,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
