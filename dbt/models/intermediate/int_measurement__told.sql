-- Everything that was measured of people, whoever tells it, in the columns of int_observation__unpivoted. A result that
-- a hospital's record tells too (told_twice) is the record's row.
select
    {{ measurement_columns('recorded') }}
    'fhir' as told_by,
    cast(null as string) as visit_key
from {{ ref('int_observation__unpivoted') }} as recorded
union all
select
    {{ measurement_columns('told') }}
    told.told_by,
    told.visit_key
from {{ ref('int_result__told') }} as told
left anti join {{ ref('told_twice') }} as twice
    on
        told.observation_key = twice.result_key
        and twice.is_current
        and twice.verdict = 'same'
union all
select
    {{ measurement_columns('reading') }}
    reading.told_by,
    reading.visit_key
from {{ ref('int_reading__told') }} as reading
