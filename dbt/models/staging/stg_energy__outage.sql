with

record as (
    select * from {{ source('silver', 'energy__outage') }}
)

select
    outage_key,
    source,
    district_code,
    started_at,
    ended_at,
    customers,
    home_devices,
    cause,
    {{ is_withdrawn() }} as is_withdrawn
from record
