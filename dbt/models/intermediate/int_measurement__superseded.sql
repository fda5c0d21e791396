-- What int_measurement__told said before: versions that a later one superseded, and results until the record told them.
with

twice as (
    select
        result_key,
        max(is_current) as is_current,
        min(recorded_at) as recorded_at
    from {{ ref('told_twice') }}
    where verdict = 'same'
    group by result_key
)

select
    {{ measurement_columns('recorded') }}
    cast(null as string) as visit_key,
    'fhir' as told_by,
    cast(null as string) as result_key,
    recorded.available_at as first_known_at,
    'fhir' as superseded_by,
    recorded.superseded_at
from {{ ref('int_observation__superseded') }} as recorded
union all
select
    {{ measurement_columns('told') }}
    told.visit_key,
    told.told_by,
    told.observation_key as result_key,
    told.available_at as first_known_at,
    case when twice.recorded_at < told.superseded_at then 'fhir' else 'hl7' end as superseded_by,
    least(told.superseded_at, coalesce(twice.recorded_at, told.superseded_at)) as superseded_at
from {{ ref('int_result__superseded') }} as told
left join twice
    on told.observation_key = twice.result_key
union all
select
    {{ measurement_columns('told') }}
    told.visit_key,
    told.told_by,
    told.observation_key as result_key,
    told.available_at as first_known_at,
    'fhir' as superseded_by,
    twice.recorded_at as superseded_at
from {{ ref('int_result__told') }} as told
inner join twice
    on
        told.observation_key = twice.result_key
        and twice.is_current
where told.usable_at < twice.recorded_at
union all
select
    {{ measurement_columns('reading') }}
    reading.visit_key,
    reading.told_by,
    cast(null as string) as result_key,
    reading.available_at as first_known_at,
    'wearables' as superseded_by,
    reading.superseded_at
from {{ ref('int_reading__superseded') }} as reading
