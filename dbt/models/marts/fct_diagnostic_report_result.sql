with

report as (
    select
        diagnostic_report_key,
        source,
        result_keys
    from {{ ref('stg_hospital__diagnostic_report') }}
    where
        not is_withdrawn
        and status not in ('registered', 'cancelled')
),

named as (
    select distinct
        diagnostic_report_key,
        source,
        observation_key
    from report
        lateral view explode(result_keys) exploded as observation_key
),

measurement as (
    select
        measurement_key,
        observation_key
    from {{ ref('fct_measurement') }}
    where component_index = 0
)

select
    named.diagnostic_report_key,
    named.observation_key,
    named.source,
    measurement.measurement_key,
    measurement.measurement_key is not null as is_result_resolved
from named
left join measurement
    on named.observation_key = measurement.observation_key
