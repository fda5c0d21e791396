with

record as (
    select * from {{ source('silver', 'hospital_resources__roster') }}
)

select
    roster_key,
    source,
    hospital_id,
    staff_key,
    ward,
    shift,
    began_at,
    ended_at,
    is_sick,
    {{ is_withdrawn() }} as is_withdrawn
from record
