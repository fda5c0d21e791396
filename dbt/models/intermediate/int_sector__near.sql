-- One row per postal sector and air or weather station within 50 km of its middle: farther ones say nothing of its air.
-- Weight: inverse square of the distance; a station nearer than 300 m counts as so far.
with

station as (
    select
        'air' as kind,
        source,
        station_id,
        longitude,
        latitude
    from {{ ref('stg_air_quality__station') }}
    where not is_withdrawn
    union all
    select
        'weather' as kind,
        source,
        station_id,
        longitude,
        latitude
    from {{ ref('stg_weather__station') }}
    where not is_withdrawn
),

distance as (
    select
        area.postal_sector,
        station.kind,
        station.source,
        station.station_id,
        {{ distance_km('area.longitude', 'area.latitude', 'station.longitude', 'station.latitude') }} as distance_km
    from {{ ref('stg_housing__area') }} as area
    cross join station
    where not area.is_withdrawn
)

select
    postal_sector,
    kind,
    source,
    station_id,
    distance_km,
    1D / greatest(distance_km * distance_km, 0.09D) as weight
from distance
where distance_km <= 50
