-- One row per day of the city, from the first with readings of its stations to the last that is over. A day with fewer
-- than 18 hours begins nothing: a station with a wrong clock would stretch all that is told by day.
with

near as (
    select distinct
        kind,
        source,
        station_id
    from {{ ref('int_sector__near') }}
),

reading as (
    select
        'air' as kind,
        source,
        station_id,
        date,
        hours_present,
        told_until
    from {{ ref('int_air__daily') }}
    union all
    select
        'weather' as kind,
        source,
        station_id,
        date,
        hours_present,
        told_until
    from {{ ref('int_weather__daily') }}
),

span as (
    select
        min(case when reading.hours_present >= 18 then reading.date end) as first_date,
        date_sub({{ city_date('max(reading.told_until)') }}, 1) as last_date
    from reading
    inner join near
        on
            reading.kind = near.kind
            and reading.source = near.source
            and reading.station_id = near.station_id
)

select explode(sequence(first_date, last_date, interval 1 day)) as date
from span
where first_date <= last_date
