{{ config(partition_by='month') }}
{#- Sums of doubles depend on their order: rounded, a build of the same readings writes the same rows. #}

with

-- A share is of the lines that tell both of its numbers.
transit as (
    select
        service_date as date,
        sum(case when runs_run is not null then runs_planned end) as planned,
        sum(case when runs_planned is not null then runs_run end) as run_of_planned,
        sum(case when runs_delayed is not null then runs_run end) as run,
        sum(case when runs_run is not null then runs_delayed end) as delayed
    from {{ ref('stg_transport__transit') }}
    where not is_withdrawn
    group by service_date
)

select
    exposed.postal_sector,
    exposed.date,
    date_format(exposed.date, 'yyyy-MM') as month,
    exposed.postal_district,
    exposed.district_code,
    {%- for pollutant in ['pm2_5', 'pm10', 'no2', 'o3', 'so2'] %}
        round(exposed.{{ pollutant }}, 3) as {{ pollutant }}_ug_m3,
        round(exposed.{{ pollutant }}_coverage, 4) as {{ pollutant }}_coverage,
    {%- endfor %}
    round(exposed.o3_max_8h, 3) as o3_max_8h_ug_m3,
    round(exposed.co, 4) as co_mg_m3,
    round(exposed.co_coverage, 4) as co_coverage,
    round(exposed.nearest_pm2_5_km, 3) as nearest_pm2_5_station_km,
    round(exposed.temperature_mean_cel, 3) as temperature_mean_cel,
    round(exposed.temperature_min_cel, 3) as temperature_min_cel,
    round(exposed.temperature_max_cel, 3) as temperature_max_cel,
    round(exposed.apparent_temperature_min_cel, 3) as apparent_temperature_min_cel,
    round(exposed.apparent_temperature_max_cel, 3) as apparent_temperature_max_cel,
    round(exposed.humidity_pct, 3) as humidity_pct,
    round(exposed.wind_m_s, 3) as wind_m_s,
    round(exposed.precipitation_mm, 3) as precipitation_mm,
    round(exposed.weather_coverage, 4) as weather_coverage,
    supplied.heat_warning_level,
    supplied.cold_warning_level,
    round(exposed.road_vehicles, 1) as road_vehicles,
    round(exposed.road_coverage, 4) as road_coverage,
    case when transit.run > 0 then round(transit.delayed / cast(transit.run as double), 4) end as transit_delayed_share,
    case
        when transit.planned > 0
            then round(greatest(1 - transit.run_of_planned / cast(transit.planned as double), 0D), 4)
    end as transit_cancelled_share,
    round(supplied.outage_minutes_per_customer, 3) as outage_minutes_per_customer
from {{ ref('int_sector__exposed') }} as exposed
left join {{ ref('int_district__supplied') }} as supplied
    on exposed.district_code = supplied.district_code and exposed.date = supplied.date
left join transit
    on exposed.date = transit.date
