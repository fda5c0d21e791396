with

record as (
    select * from {{ source('silver', 'housing__facility') }}
)

select
    facility_key,
    source,
    facility_id,
    kind,
    name,
    longitude,
    latitude,
    postal_sector,
    district_code,
    {{ is_withdrawn() }} as is_withdrawn
from record
