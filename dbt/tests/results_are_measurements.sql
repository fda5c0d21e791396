-- Every result that counts is one measurement: a row of its own, or that of the record that tells the same, unless that
-- is withdrawn or a value is held back. Every row told by messages is such a result.
with

result as (
    select result_key
    from {{ ref('stg_hospital_events__result') }}
    where not is_withdrawn and {{ told_code('status', 'result_status') }} is not null
),

same as (
    select distinct result_key
    from {{ ref('told_twice') }}
    where is_current and verdict = 'same'
),

published as (
    select distinct
        result_key,
        told_by
    from {{ ref('fct_measurement') }}
    where result_key is not null
    union
    select distinct
        observation_key as result_key,
        'hl7' as told_by
    from {{ ref('suspects') }}
    where is_current and verdict = 'suspect' and resource_type = 'Result'
)

select
    result.result_key as told_key,
    published.result_key as published_key,
    published.told_by
from result
full outer join published
    on result.result_key = published.result_key
left join same
    on coalesce(result.result_key, published.result_key) = same.result_key
where
    result.result_key is null
    or (published.result_key is null and same.result_key is null)
    or (published.told_by = 'hl7') = (same.result_key is not null)
