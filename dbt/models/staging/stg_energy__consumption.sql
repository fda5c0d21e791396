with

record as (
    select * from {{ source('silver', 'energy__consumption') }}
)

select
    consumption_key,
    source,
    district_code,
    consumed_date,
    electricity_kwh,
    heat_kwh,
    meters,
    {{ is_withdrawn() }} as is_withdrawn
from record
