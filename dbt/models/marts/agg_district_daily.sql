{{ config(partition_by='month') }}

{%- set means = [
    'pm2_5_ug_m3', 'pm2_5_coverage', 'no2_ug_m3', 'no2_coverage', 'o3_max_8h_ug_m3', 'o3_coverage',
    'temperature_mean_cel', 'temperature_max_cel', 'apparent_temperature_max_cel', 'weather_coverage',
    'outage_minutes_per_customer',
] %}
{%- set resources = [
    'beds', 'beds_free', 'staff_on_duty', 'stock_items', 'stock_items_out', 'packs_on_hand', 'packs_dispensed',
] %}

with

exposed as (
    {%- for kind, code in [('postal_district', 'postal_district'), ('district', 'district_code')] %}
        select
            '{{ kind }}' as kind,
            {{ code }} as code,
            {%- for column in means %}
                round({{ exact_mean(column) }}, 4) as {{ column }},
            {%- endfor %}
            date
        from {{ ref('agg_sector_daily') }}
        group by {{ code }}, date
        {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

encounter as (
    select *
    from {{ ref('fct_encounter') }}
    where
        started_date is not null
        and started_at <= known_from
        and (is_inpatient or class_code = 'EMER')
),

-- As for ambulances: before and after it no hospital has told anything.
encounter_span as (
    select
        min(started_date) as first_date,
        max(started_date) as last_date
    from {{ ref('fct_encounter') }}
    where started_at <= known_from
),

-- A part of an emergency encounter or stay that is counted is not counted again.
event as (
    select
        part.person_key,
        part.started_date as date,
        sum(
            case when part.class_code = 'EMER' and whole.encounter_key is null then 1 else 0 end
        ) as emergency_arrivals,
        sum(
            case when part.is_inpatient and not coalesce(whole.is_inpatient, false) then 1 else 0 end
        ) as admissions
    from encounter as part
    left join encounter as whole
        on part.part_of_key = whole.encounter_key and part.encounter_key <> whole.encounter_key
    group by part.person_key, part.started_date
),

lived as (
    select
        lived.postal_district,
        lived.district_code,
        lived.date,
        count(*) as residents,
        sum(coalesce(event.emergency_arrivals, 0)) as emergency_arrivals,
        sum(coalesce(event.admissions, 0)) as admissions
    from {{ ref('fct_exposure_daily') }} as lived
    left join event
        on lived.person_key = event.person_key and lived.date = event.date
    where lived.district_code is not null
    group by lived.postal_district, lived.district_code, lived.date
),

people as (
    select
        'postal_district' as kind,
        postal_district as code,
        date,
        sum(residents) as residents,
        sum(emergency_arrivals) as emergency_arrivals,
        sum(admissions) as admissions
    from lived
    group by postal_district, date
    union all
    select
        'district' as kind,
        district_code as code,
        date,
        sum(residents) as residents,
        sum(emergency_arrivals) as emergency_arrivals,
        sum(admissions) as admissions
    from lived
    group by district_code, date
),

-- Where facilities stand, by the city's register; a hospital's wards stand where it does and have no rows of their own.
facility_day as (
    select
        dim.postal_sector,
        dim.district_code,
        daily.*
    from {{ ref('agg_facility_daily') }} as daily
    inner join {{ ref('dim_facility') }} as dim
        on daily.facility_key = dim.facility_key
    where dim.district_code is not null
),

resourced as (
    {%- for kind, code in [('postal_district', "split(postal_sector, ' ')[0]"), ('district', 'district_code')] %}
        select
            '{{ kind }}' as kind,
            {{ code }} as code,
            date,
            {%- for column in resources %}
                sum({{ column }}) as {{ column }}{% if not loop.last %},{% endif %}
            {%- endfor %}
        from facility_day
        group by {{ code }}, date
        {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

ambulance as (
    select
        district_code as code,
        {{ city_date('incident_at') }} as date,
        count(*) as runs
    from {{ ref('stg_transport__ambulance_run') }}
    where not is_withdrawn and not coalesce(is_cancelled, false)
    group by district_code, {{ city_date('incident_at') }}
),

ambulance_span as (
    select
        min(date) as first_date,
        max(date) as last_date
    from ambulance
)

select
    exposed.kind,
    exposed.code as area_code,
    exposed.date,
    date_format(exposed.date, 'yyyy-MM') as month,
    {%- for column in means %}
        exposed.{{ column }},
    {%- endfor %}
    cast(coalesce(people.residents, 0) as int) as residents,
    {%- for column in ['emergency_arrivals', 'admissions'] %}
        cast(
            case
                when exposed.date between encounter_span.first_date and encounter_span.last_date
                    then coalesce(people.{{ column }}, 0)
            end as int
        ) as {{ column }},
    {%- endfor %}
    cast(
        case
            when
                exposed.kind = 'district'
                and exposed.date between ambulance_span.first_date and ambulance_span.last_date
                then coalesce(ambulance.runs, 0)
        end as int
    ) as ambulance_runs,
    supplied.outages,
    {%- for column in resources %}
        cast(resourced.{{ column }} as int) as {{ column }}{% if not loop.last %},{% endif %}
    {%- endfor %}
from exposed
left join people
    on exposed.kind = people.kind and exposed.code = people.code and exposed.date = people.date
left join resourced
    on exposed.kind = resourced.kind and exposed.code = resourced.code and exposed.date = resourced.date
cross join encounter_span
cross join ambulance_span
left join ambulance
    on exposed.kind = 'district' and exposed.code = ambulance.code and exposed.date = ambulance.date
left join {{ ref('int_district__supplied') }} as supplied
    on exposed.kind = 'district' and exposed.code = supplied.district_code and exposed.date = supplied.date
