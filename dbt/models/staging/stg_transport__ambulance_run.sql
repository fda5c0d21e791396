with

record as (
    select * from {{ source('silver', 'transport__ambulance_run') }}
)

select
    ambulance_run_key,
    source,
    district_code,
    priority,
    incident_at,
    is_cancelled,
    {{ is_withdrawn() }} as is_withdrawn
from record
