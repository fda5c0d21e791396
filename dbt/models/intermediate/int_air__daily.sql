-- One row per air station, pollutant and day of the city with readings; told_until is when the last hour is over, but
-- never later than it was known.
with

reading as (
    select
        source,
        station_id,
        pollutant,
        observed_at,
        {{ city_date('observed_at') }} as date,
        value,
        known_from
    from {{ ref('stg_air_quality__reading') }}
    where not is_withdrawn and value is not null
),

-- Running means belong to the hour they end with, and need six of their eight hours: Directive 2008/50/EC, Annex VII A.
running as (
    select
        source,
        station_id,
        date,
        sum(cast(round(value * 10000) as bigint)) over eight_hours / 10000D
        / count(*) over eight_hours as mean_8h,
        count(*) over eight_hours as hour_count
    from reading
    where pollutant = 'o3'
    window
        eight_hours as (
            partition by source, station_id
            order by unix_micros(observed_at)
            range between 25200000000 preceding and current row
        )
),

highest as (
    select
        source,
        station_id,
        date,
        max(mean_8h) as max_8h
    from running
    where hour_count >= 6
    group by source, station_id, date
),

daily as (
    select
        source,
        station_id,
        pollutant,
        date,
        {{ exact_mean('value') }} as mean_value,
        count(*) as hour_count,
        max(least(observed_at + interval 1 hour, known_from)) as told_until
    from reading
    group by source, station_id, pollutant, date
)

select
    daily.source,
    daily.station_id,
    daily.pollutant,
    daily.date,
    daily.mean_value,
    case when daily.pollutant = 'o3' then highest.max_8h end as max_8h,
    cast(daily.hour_count as int) as hours_present,
    daily.told_until
from daily
left join highest
    on
        daily.source = highest.source
        and daily.station_id = highest.station_id
        and daily.date = highest.date
