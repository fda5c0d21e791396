with

record as (
    select * from {{ source('silver', 'transport__segment') }}
)

select
    segment_key,
    source,
    segment_id,
    longitude,
    latitude,
    postal_sector,
    {{ is_withdrawn() }} as is_withdrawn
from record
