with

record as (
    select * from {{ source('silver', 'hospital_resources__staff') }}
)

select
    staff_key,
    source,
    hospital_id,
    role,
    ward,
    {{ is_withdrawn() }} as is_withdrawn
from record
