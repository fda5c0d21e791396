with

record as (
    select * from {{ source('silver', 'housing__dwelling') }}
)

select
    dwelling_key,
    source,
    postal_district,
    district_code,
    built_year,
    heating,
    energy_class,
    is_damp,
    floor_area_m2,
    rooms,
    {{ is_withdrawn() }} as is_withdrawn
from record
