with

record as (
    select * from {{ source('silver', 'transport__traffic') }}
)

select
    traffic_key,
    source,
    segment_id,
    observed_at,
    vehicles,
    {{ is_withdrawn() }} as is_withdrawn
from record
