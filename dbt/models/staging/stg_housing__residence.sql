with

record as (
    select * from {{ source('silver', 'housing__residence') }}
)

select
    residence_key,
    source,
    resident_key,
    dwelling_key,
    postal_district,
    moved_in_date,
    moved_out_date,
    {{ is_withdrawn() }} as is_withdrawn
from record
