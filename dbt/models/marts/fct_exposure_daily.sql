{{ config(
    partition_by='month',
    incremental_strategy='replace_changed_people',
    tblproperties={'delta.enableDeletionVectors': 'true'},
) }}
{%- set changed = changed_people() if is_incremental() else none %}

with

-- No row without a day: greatest and least pass over nulls, and a person would have all days there are.
calendar as (
    select
        min(date) as first_date,
        max(date) as last_date
    from {{ ref('agg_sector_daily') }}
    having count(*) > 0
),

place as (
    select * from {{ ref('int_place__exposed') }}
),

resided as (
    select
        resided.*,
        greatest(resided.first_date, calendar.first_date) as from_date,
        least(resided.last_date, calendar.last_date) as to_date
    from {{ ref('int_person__resided') }} as resided
    cross join calendar
),

-- Of people who have not changed, the days from the first month to be replaced.
wanted as (
    select
        *,
        {% if changed and changed.months -%}
            case
                when {{ people_condition(changed.people) }} then from_date
                else greatest(from_date, date '{{ changed.months | first }}-01')
            end
        {%- else -%}
            from_date
        {%- endif %} as wanted_date
    from resided
    {%- if changed and not changed.months %}
        where {{ people_condition(changed.people) }}
    {%- endif %}
),

daily as (
    select
        *,
        explode(sequence(wanted_date, to_date, interval 1 day)) as date
    from wanted
    where wanted_date <= to_date
),

lived as (
    select
        *,
        date_format(date, 'yyyy-MM') as month
    from daily
    {%- if changed %}
        where
            {{ people_condition(changed.people) }}
            or date_format(date, 'yyyy-MM') in ('{{ changed.months | join("', '") }}')
    {%- endif %}
),

-- Within a week of a move, the days before were lived elsewhere.
earlier as (
    select
        lived.person_key,
        lived.date,
        explode(sequence(0, 6)) as days
    from lived
    where datediff(lived.date, lived.place_first_date) < 6
),

moved as (
    select
        earlier.person_key,
        {%- for column in lagged_exposures() %}
            {%- for days in [1, 2, 3] %}
                max(case when earlier.days = {{ days }} then place.{{ column }} end) as {{ column }}_lag_{{ days }}d,
            {%- endfor %}
            case
                when count(place.{{ column }}) >= 6 then {{ exact_mean('place.' ~ column) }}
            end as {{ column }}_mean_7d,
        {%- endfor %}
        earlier.date
    from earlier
    inner join {{ ref('int_person__resided') }} as then_resided
        on
            earlier.person_key = then_resided.person_key
            and date_sub(earlier.date, earlier.days) >= then_resided.first_date
            and date_sub(earlier.date, earlier.days) <= then_resided.last_date
    left join place
        on
            then_resided.postal_district = place.postal_district
            and then_resided.district_code = place.district_code
            and date_sub(earlier.date, earlier.days) = place.date
    group by earlier.person_key, earlier.date
)

select
    lived.person_key,
    lived.date,
    lived.month,
    lived.postal_district,
    lived.district_code,
    lived.place_precision,
    {%- for column in exposure_columns() %}
        {%- if column.endswith('_coverage') %}
            coalesce(round(place.{{ column }}, 4), 0D) as {{ column }},
        {%- else %}
            round(place.{{ column }}, 4) as {{ column }},
        {%- endif %}
    {%- endfor %}
    {%- for column in lagged_exposures() %}
        {%- for suffix in ['lag_1d', 'lag_2d', 'lag_3d', 'mean_7d'] %}
            round(
                case
                    when datediff(lived.date, lived.place_first_date) >= 6 then place.{{ column }}_{{ suffix }}
                    else moved.{{ column }}_{{ suffix }}
                end, 4
            ) as {{ column }}_{{ suffix }},
        {%- endfor %}
    {%- endfor %}
    place.heat_warning_level,
    place.cold_warning_level,
    cast(year(lived.date) - lived.built_year as int) as dwelling_age_years,
    lived.is_damp as is_dwelling_damp,
    lived.heating as dwelling_heating,
    lived.energy_class as dwelling_energy_class,
    round(lived.residents_per_room, 4) as residents_per_room,
    inputs.inputs_fingerprint
from lived
inner join {{ ref('int_exposure__inputs') }} as inputs
    on
        lived.person_key = inputs.person_key
        and lived.month = inputs.month
left join place
    on
        lived.postal_district = place.postal_district
        and lived.district_code = place.district_code
        and lived.date = place.date
left join moved
    on lived.person_key = moved.person_key and lived.date = moved.date
