with

record as (
    select * from {{ source('silver', 'air_quality__reading') }}
)

select
    reading_key,
    source,
    station_id,
    pollutant,
    observed_at,
    value,
    unit,
    known_from,
    {{ is_withdrawn() }} as is_withdrawn
from record
