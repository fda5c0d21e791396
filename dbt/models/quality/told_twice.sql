-- Results that a hospital's record tells too, or contradicts. Of the record, which is by far the larger, only what was
-- measured at an instant that results name is looked at.
{% set told = "select * from " ~ ref('int_result__told') -%}
{% set told_before = "select * from " ~ ref('int_result__superseded') -%}
{# Every version counts, and those withdrawn since: what the record corrected or took back is still its own. -#}
{% set recorded -%}
    select observation.*
    from {{ ref('stg_hospital__observation') }} as observation
    left semi join instant
        on date_trunc('second', observation.effective_at) = instant.effective_second
{%- endset -%}
{% set recorded_before -%}
    select version.*
    from ({{ superseded_versions('observation') }}) as version
    left semi join instant
        on date_trunc('second', version.effective_at) = instant.effective_second
{%- endset -%}
with

instant as (
    {% for versions in ('result', 'result_revised') %}
        select date_trunc('second', coalesce(observed_at, collected_at)) as effective_second
        from {{ source('silver', 'hospital_events__' ~ versions) }}
        where coalesce(observed_at, collected_at) is not null
        {{ 'union' if not loop.last }}
    {% endfor %}
),

result as (
    select
        true as is_current,
        observation_key as result_key,
        content_hash,
        available_at,
        {{ same_measurement() }}
    from ({{ measured(told) }}) as told
    union all
    select
        false as is_current,
        observation_key as result_key,
        content_hash,
        available_at,
        {{ same_measurement() }}
    from ({{ measured(told_before) }}) as told
),

observation as (
    select
        case when is_withdrawn then 0 else 1 end as stands,
        observation_key,
        component_index,
        usable_at,
        {{ same_measurement() }}
    from ({{ measured(unpivoted_observations(recorded, are_withdrawn_kept=true)) }}) as recorded
    union all
    select
        0 as stands,
        observation_key,
        component_index,
        usable_at,
        {{ same_measurement() }}
    from ({{ measured(unpivoted_observations(recorded_before, are_withdrawn_kept=true)) }}) as recorded
),

-- What is told and recorded of one analyte and instant.
paired as (
    select
        result.patient_key,
        result.effective_second,
        result.analyte,
        result.said,
        observation.said as recorded_said,
        result.result_key,
        result.content_hash,
        result.is_current,
        observation.observation_key,
        observation.component_index,
        result.is_current and max(observation.stands) = 1 as are_current,
        min(result.available_at) as told_at,
        min(observation.usable_at) as recorded_at
    from result
    inner join observation
        on
            result.patient_key = observation.patient_key
            and result.effective_second = observation.effective_second
            and result.analyte = observation.analyte
    where result.said is not null
    group by
        result.patient_key,
        result.effective_second,
        result.analyte,
        result.said,
        observation.said,
        result.result_key,
        result.content_hash,
        result.is_current,
        observation.observation_key,
        observation.component_index
),

-- Of several that say the same, each has one counterpart at most.
ranked as (
    select
        *,
        dense_rank() over (
            partition by patient_key, effective_second, analyte, said, recorded_said order by result_key
        ) as told_place,
        dense_rank() over (
            partition by patient_key, effective_second, analyte, said, recorded_said
            order by observation_key, component_index
        ) as recorded_place
    from paired
),

matched as (
    select
        *,
        case when said = recorded_said and told_place = recorded_place then 1 else 0 end as is_same
    from ranked
),

judged as (
    select
        *,
        max(case when is_current then is_same else 0 end) over (partition by result_key) as is_result_recorded,
        max(case when is_current then is_same else 0 end) over (
            partition by observation_key, component_index
        ) as is_observation_told
    from matched
)

-- Which of two values is right, or whether they are two measurements, is not known.
select
    result_key,
    content_hash,
    is_current,
    observation_key,
    component_index,
    case when is_same = 1 then 'same' else 'other_value' end as verdict,
    told_at,
    recorded_at
from judged
where is_same = 1 or (are_current and is_result_recorded = 0 and is_observation_told = 0)
