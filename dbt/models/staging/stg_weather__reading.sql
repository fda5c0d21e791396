with

record as (
    select * from {{ source('silver', 'weather__reading') }}
)

select
    reading_key,
    source,
    station_id,
    parameter,
    observed_at,
    value,
    unit,
    known_from,
    {{ is_withdrawn() }} as is_withdrawn
from record
