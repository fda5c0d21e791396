with

record as (
    select * from {{ source('silver', 'air_quality__station') }}
)

select
    station_key,
    source,
    station_id,
    name,
    site,
    longitude,
    latitude,
    postal_sector,
    district_code,
    {{ is_withdrawn() }} as is_withdrawn
from record
