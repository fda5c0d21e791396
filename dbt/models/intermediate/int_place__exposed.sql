-- One row per place and day: the mean of the sectors of a part, which a postal district and an administrative district
-- have in common. What was there the days before is what a person met who has lived there for a week.
with

daily as (
    select
        postal_district,
        district_code,
        date,
        {%- for column in exposure_columns() %}
            {{ exact_mean(column) }} as {{ column }},
        {%- endfor %}
        max(heat_warning_level) as heat_warning_level,
        max(cold_warning_level) as cold_warning_level
    from {{ ref('agg_sector_daily') }}
    group by postal_district, district_code, date
)

select
    postal_district,
    district_code,
    date,
    {%- for column in exposure_columns() %}
        {{ column }},
    {%- endfor %}
    {%- for column in lagged_exposures() %}
        {%- for days in [1, 2, 3] %}
            lag({{ column }}, {{ days }}) over place as {{ column }}_lag_{{ days }}d,
        {%- endfor %}
        case
            when count({{ column }}) over week >= 6
                then
                    sum(cast(round({{ column }} * 10000) as bigint)) over week / 10000D
                    / count({{ column }}) over week
        end as {{ column }}_mean_7d,
    {%- endfor %}
    heat_warning_level,
    cold_warning_level
from daily
window
    place as (partition by postal_district, district_code order by date),
    week as (
        partition by postal_district, district_code
        order by date
        rows between 6 preceding and current row
    )
