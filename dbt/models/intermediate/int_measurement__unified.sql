-- One row per measurement, with all that tell it. What makes two of them one is declared in same_measurement.
with

twice as (
    select
        observation_key,
        component_index,
        max(case when is_current then result_key end) as result_key,
        min(told_at) as told_at
    from {{ ref('told_twice') }}
    where verdict = 'same'
    group by observation_key, component_index
)

select
    {{ measurement_columns('told') }}
    told.visit_key,
    case when twice.result_key is not null then 'both' else told.told_by end as told_by,
    case when told.told_by = 'hl7' then told.observation_key else twice.result_key end as result_key,
    least(coalesce(twice.told_at, told.available_at), told.available_at) as first_known_at
from {{ ref('int_measurement__told') }} as told
left join twice
    on
        told.observation_key = twice.observation_key
        and told.component_index = twice.component_index
