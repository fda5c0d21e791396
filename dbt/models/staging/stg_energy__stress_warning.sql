with

record as (
    select * from {{ source('silver', 'energy__stress_warning') }}
)

select
    stress_warning_key,
    source,
    district_code,
    warned_date,
    kind,
    level,
    felt_temperature_cel,
    {{ is_withdrawn() }} as is_withdrawn
from record
