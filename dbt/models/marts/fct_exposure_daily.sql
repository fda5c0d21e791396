{{ config(
    partition_by='month',
    incremental_strategy='replace_changed_people',
    tblproperties={'delta.enableDeletionVectors': 'true'},
) }}
{%- set changed = changed_people() if is_incremental() else none %}
{%- set lags = lagged_exposure_columns() %}
{%- set plain = [
    'person_key', 'month', 'postal_district', 'district_code', 'place_precision', 'heat_warning_level',
    'cold_warning_level', 'dwelling_age_years', 'is_dwelling_damp', 'dwelling_heating', 'dwelling_energy_class',
    'residents_per_room', 'inputs_fingerprint',
] + exposure_columns() %}
{#- A join's left side is held in memory: it is the small one, and what is by person and day is never joined to. #}

with

-- No row without a day: greatest and least pass over nulls, and a person would have all days there are.
calendar as (
    select
        min(date) as first_date,
        max(date) as last_date
    from {{ ref('agg_sector_daily') }}
    having count(*) > 0
),

day as (
    select explode(sequence(first_date, last_date, interval 1 day)) as date
    from calendar
),

part as (
    select distinct
        postal_district,
        district_code,
        concat(postal_district, '|', district_code) as part_key
    from {{ ref('int_place__exposed') }}
    union all
    select
        cast(null as string) as postal_district,
        cast(null as string) as district_code,
        'nowhere' as part_key
),

-- Every day of every part, and of people whose place is not known.
place as (
    select
        part.part_key,
        date_format(day.date, 'yyyy-MM') as month,
        {%- for column in exposure_inputs() if column != 'date' %}
            exposed.{{ column }},
        {%- endfor %}
        day.date
    from part
    cross join day
    left join {{ ref('int_place__exposed') }} as exposed
        on
            part.postal_district = exposed.postal_district
            and part.district_code = exposed.district_code
            and day.date = exposed.date
),

resided as (
    select
        resided.*,
        coalesce(part.part_key, 'nowhere') as part_key,
        greatest(resided.first_date, calendar.first_date) as from_date,
        least(resided.last_date, calendar.last_date) as to_date
    from {{ ref('int_person__resided') }} as resided
    cross join calendar
    left join part
        on
            resided.postal_district = part.postal_district
            and resided.district_code = part.district_code
),

monthly as (
    select
        *,
        explode(sequence(trunc(from_date, 'MM'), trunc(to_date, 'MM'), interval 1 month)) as first_of_month
    from resided
    where from_date <= to_date
),

lived as (
    select
        monthly.*,
        inputs.month,
        inputs.inputs_fingerprint
    from monthly
    inner join {{ ref('int_exposure__inputs') }} as inputs
        on
            monthly.person_key = inputs.person_key
            and date_format(monthly.first_of_month, 'yyyy-MM') = inputs.month
    {%- if changed %}
        where
            {{ among('monthly.person_key', changed.people) }}
            or {{ among('inputs.month', changed.months) }}
    {%- endif %}
),

exposed as (
    select
        lived.person_key,
        lived.month,
        lived.postal_district,
        lived.district_code,
        lived.place_precision,
        datediff(place.date, lived.place_first_date) as days_there,
        {%- for column in exposure_inputs() if column != 'date' %}
            place.{{ column }},
        {%- endfor %}
        cast(year(place.date) - lived.built_year as int) as dwelling_age_years,
        lived.is_damp as is_dwelling_damp,
        lived.heating as dwelling_heating,
        lived.energy_class as dwelling_energy_class,
        lived.residents_per_room,
        lived.inputs_fingerprint,
        place.date
    from place
    inner join lived
        on
            place.part_key = lived.part_key
            and place.month = lived.month
            and place.date between lived.from_date and lived.to_date
),

-- Within a week of a move, the days before were lived elsewhere.
earlier as (
    select
        person_key,
        date,
        explode(sequence(0, 6)) as days
    from (
        select
            person_key,
            month,
            explode(
                sequence(from_date, least(to_date, date_add(place_first_date, 5)), interval 1 day)
            ) as date
        from lived
        where from_date <= date_add(place_first_date, 5)
    ) as fresh
    where date_format(date, 'yyyy-MM') = month
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
    inner join resided as then_resided
        on
            earlier.person_key = then_resided.person_key
            and date_sub(earlier.date, earlier.days) >= then_resided.first_date
            and date_sub(earlier.date, earlier.days) <= then_resided.last_date
    left join place
        on
            then_resided.part_key = place.part_key
            and date_sub(earlier.date, earlier.days) = place.date
    group by earlier.person_key, earlier.date
),

-- Who has lived there for a week, and who has not.
met as (
    select
        {%- for column in plain %}
            exposed.{{ column }},
        {%- endfor %}
        {%- for column in lags %}
            exposed.{{ column }},
        {%- endfor %}
        exposed.date
    from exposed
    where exposed.days_there >= 6
    union all
    select
        {%- for column in plain %}
            exposed.{{ column }},
        {%- endfor %}
        {%- for column in lags %}
            moved.{{ column }},
        {%- endfor %}
        exposed.date
    from moved
    inner join exposed
        on moved.person_key = exposed.person_key and moved.date = exposed.date
    where exposed.days_there < 6
)

select
    person_key,
    date,
    month,
    postal_district,
    district_code,
    place_precision,
    {%- for column in exposure_columns() %}
        {%- if column.endswith('_coverage') %}
            coalesce(round({{ column }}, 4), 0D) as {{ column }},
        {%- else %}
            round({{ column }}, 4) as {{ column }},
        {%- endif %}
    {%- endfor %}
    {%- for column in lags %}
        round({{ column }}, 4) as {{ column }},
    {%- endfor %}
    heat_warning_level,
    cold_warning_level,
    dwelling_age_years,
    is_dwelling_damp,
    dwelling_heating,
    dwelling_energy_class,
    round(residents_per_room, 4) as residents_per_room,
    inputs_fingerprint
from met
