-- One row per weather station and day of the city with readings. What has fewer than 18 hours is null.
-- told_until is when the last hour is over, but never later than it was known.
with

hourly as (
    select
        source,
        station_id,
        observed_at,
        max(known_from) as known_from,
        max(case when parameter = 'temperature' then value end) as temperature_cel,
        max(case when parameter = 'humidity' then value end) as humidity_pct,
        max(case when parameter = 'wind_speed' then value end) as wind_m_s,
        max(case when parameter = 'precipitation' then value end) as precipitation_mm
    from {{ ref('stg_weather__reading') }}
    where not is_withdrawn and value is not null
    group by source, station_id, observed_at
),

-- Apparent temperature in the shade: R. G. Steadman, Norms of apparent temperature in Australia, Australian
-- Meteorological Magazine 43 (1994), as the Bureau of Meteorology uses it; water vapour pressure in hPa.
felt as (
    select
        *,
        {{ city_date('observed_at') }} as date,
        temperature_cel
        + 0.33D * humidity_pct / 100 * 6.105D * exp(17.27D * temperature_cel / (237.7D + temperature_cel))
        - 0.7D * wind_m_s
        - 4D as apparent_temperature_cel
    from hourly
)

select
    source,
    station_id,
    date,
    case when count(temperature_cel) >= 18 then {{ exact_mean('temperature_cel') }} end as temperature_mean_cel,
    case when count(temperature_cel) >= 18 then min(temperature_cel) end as temperature_min_cel,
    case when count(temperature_cel) >= 18 then max(temperature_cel) end as temperature_max_cel,
    case
        when count(apparent_temperature_cel) >= 18 then min(apparent_temperature_cel)
    end as apparent_temperature_min_cel,
    case
        when count(apparent_temperature_cel) >= 18 then max(apparent_temperature_cel)
    end as apparent_temperature_max_cel,
    case when count(humidity_pct) >= 18 then {{ exact_mean('humidity_pct') }} end as humidity_pct,
    case when count(wind_m_s) >= 18 then {{ exact_mean('wind_m_s') }} end as wind_m_s,
    case when count(precipitation_mm) >= 18 then {{ exact_sum('precipitation_mm') }} end as precipitation_mm,
    cast(count(temperature_cel) as int) as hours_present,
    max(least(observed_at + interval 1 hour, known_from)) as told_until
from felt
group by source, station_id, date
