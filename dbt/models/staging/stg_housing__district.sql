with

record as (
    select * from {{ source('silver', 'housing__district') }}
)

select
    district_key,
    source,
    district_code,
    year,
    dwellings,
    residents,
    crowded_share,
    damp_share,
    mean_built_year,
    status,
    {{ is_withdrawn() }} as is_withdrawn
from record
