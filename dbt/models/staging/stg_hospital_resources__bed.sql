with

record as (
    select * from {{ source('silver', 'hospital_resources__bed') }}
)

select
    bed_key,
    source,
    hospital_id,
    ward,
    bed_id,
    kind,
    state,
    report_date,
    {{ is_withdrawn() }} as is_withdrawn
from record
