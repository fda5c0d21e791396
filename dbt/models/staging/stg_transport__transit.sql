with

record as (
    select * from {{ source('silver', 'transport__transit') }}
)

select
    transit_key,
    source,
    line_id,
    service_date,
    runs_planned,
    runs_run,
    runs_delayed,
    {{ is_withdrawn() }} as is_withdrawn
from record
