with

record as (
    select * from {{ source('silver', 'housing__area') }}
)

select
    area_key,
    source,
    postal_sector,
    postal_district,
    postal_district_name,
    district_code,
    district_name,
    longitude,
    latitude,
    {{ is_withdrawn() }} as is_withdrawn
from record
