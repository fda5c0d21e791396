-- One row per postal sector and day of the city: air and weather, weighted by the stations' distance; roads nearby.
-- A station counts on a day with at least 18 of 24 hours: 75 % data capture, Directive 2008/50/EC, Annex XI A.
{%- set pollutants = ['pm2_5', 'pm10', 'no2', 'o3', 'so2', 'co'] %}
{%- set air = pollutants + ['o3_max_8h'] %}
{%- set weather = [
    'temperature_mean_cel', 'temperature_min_cel', 'temperature_max_cel', 'apparent_temperature_min_cel',
    'apparent_temperature_max_cel', 'humidity_pct', 'wind_m_s', 'precipitation_mm',
] %}

with

calendar as (
    select date from {{ ref('int_city__dated') }}
),

near as (
    select * from {{ ref('int_sector__near') }}
),

air_station as (
    select
        source,
        {%- for pollutant in pollutants %}
            min(case when pollutant = '{{ pollutant }}' then date end) as {{ pollutant }}_since,
        {%- endfor %}
        station_id
    from {{ ref('int_air__daily') }}
    group by source, station_id
),

air_measured as (
    select
        source,
        station_id,
        date,
        {%- for pollutant in pollutants %}
            max(case when pollutant = '{{ pollutant }}' then mean_value end) as {{ pollutant }},
        {%- endfor %}
        max(max_8h) as o3_max_8h
    from {{ ref('int_air__daily') }}
    where hours_present >= 18
    group by source, station_id, date
),

air_day as (
    select
        station.source,
        station.station_id,
        {%- for pollutant in pollutants %}
            calendar.date >= station.{{ pollutant }}_since as is_{{ pollutant }}_due,
        {%- endfor %}
        {%- for pollutant in air %}
            measured.{{ pollutant }},
        {%- endfor %}
        calendar.date
    from air_station as station
    cross join calendar
    left join air_measured as measured
        on
            station.source = measured.source
            and station.station_id = measured.station_id
            and calendar.date = measured.date
),

air_exposed as (
    select
        near.postal_sector,
        day.date,
        {%- for pollutant in air %}
            sum(near.weight * day.{{ pollutant }})
            / sum(case when day.{{ pollutant }} is not null then near.weight end) as {{ pollutant }},
        {%- endfor %}
        {%- for pollutant in pollutants %}
            coalesce(sum(case when day.{{ pollutant }} is not null then near.weight end), 0D)
            / sum(case when day.is_{{ pollutant }}_due then near.weight end) as {{ pollutant }}_coverage,
        {%- endfor %}
        min(case when day.pm2_5 is not null then near.distance_km end) as nearest_pm2_5_km
    from near
    inner join air_day as day
        on near.source = day.source and near.station_id = day.station_id
    where near.kind = 'air'
    group by near.postal_sector, day.date
),

weather_station as (
    select
        source,
        station_id,
        min(date) as first_date
    from {{ ref('int_weather__daily') }}
    group by source, station_id
),

weather_day as (
    select
        station.source,
        station.station_id,
        {%- for value in weather %}
            measured.{{ value }},
        {%- endfor %}
        calendar.date
    from weather_station as station
    inner join calendar
        on station.first_date <= calendar.date
    left join {{ ref('int_weather__daily') }} as measured
        on
            station.source = measured.source
            and station.station_id = measured.station_id
            and calendar.date = measured.date
),

weather_exposed as (
    select
        near.postal_sector,
        day.date,
        {%- for value in weather %}
            sum(near.weight * day.{{ value }})
            / sum(case when day.{{ value }} is not null then near.weight end) as {{ value }},
        {%- endfor %}
        coalesce(sum(case when day.temperature_mean_cel is not null then near.weight end), 0D)
        / sum(near.weight) as weather_coverage
    from near
    inner join weather_day as day
        on near.source = day.source and near.station_id = day.station_id
    where near.kind = 'weather'
    group by near.postal_sector, day.date
),

near_road as (
    select
        area.postal_sector,
        segment.source,
        segment.segment_id
    from {{ ref('stg_housing__area') }} as area
    cross join {{ ref('stg_transport__segment') }} as segment
    where
        not area.is_withdrawn
        and not segment.is_withdrawn
        and (
            area.postal_sector = segment.postal_sector
            or {{ distance_km('area.longitude', 'area.latitude', 'segment.longitude', 'segment.latitude') }} <= 1
        )
),

near_road_count as (
    select
        postal_sector,
        count(*) as road_count
    from near_road
    group by postal_sector
),

road_day as (
    select
        source,
        segment_id,
        {{ city_date('observed_at') }} as date,
        {{ exact_mean('vehicles') }} * 24 as vehicles
    from {{ ref('stg_transport__traffic') }}
    where not is_withdrawn and vehicles is not null
    group by source, segment_id, {{ city_date('observed_at') }}
    having count(*) >= 18
),

road_exposed as (
    select
        near_road.postal_sector,
        road_day.date,
        {{ exact_mean('road_day.vehicles') }} as road_vehicles,
        count(*) as counted
    from near_road
    inner join road_day
        on near_road.source = road_day.source and near_road.segment_id = road_day.segment_id
    group by near_road.postal_sector, road_day.date
)

select
    area.postal_sector,
    area.postal_district,
    area.district_code,
    calendar.date,
    {%- for pollutant in pollutants %}
        air.{{ pollutant }},
        coalesce(air.{{ pollutant }}_coverage, 0D) as {{ pollutant }}_coverage,
    {%- endfor %}
    air.o3_max_8h,
    air.nearest_pm2_5_km,
    {%- for value in weather %}
        weather.{{ value }},
    {%- endfor %}
    coalesce(weather.weather_coverage, 0D) as weather_coverage,
    road.road_vehicles,
    coalesce(road.counted / cast(near_road_count.road_count as double), 0D) as road_coverage
from {{ ref('stg_housing__area') }} as area
cross join calendar
left join air_exposed as air
    on area.postal_sector = air.postal_sector and calendar.date = air.date
left join weather_exposed as weather
    on area.postal_sector = weather.postal_sector and calendar.date = weather.date
left join road_exposed as road
    on area.postal_sector = road.postal_sector and calendar.date = road.date
left join near_road_count
    on area.postal_sector = near_road_count.postal_sector
where not area.is_withdrawn
