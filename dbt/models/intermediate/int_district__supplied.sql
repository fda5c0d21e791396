-- One row per administrative district and day of which the grid company has told the consumption.
-- Outage minutes per customer: minutes without power summed over customers, by customers (SAIDI of the day, IEEE 1366).
with

day as (
    select
        district_code,
        consumed_date as date,
        max(meters) as customers
    from {{ ref('stg_energy__consumption') }}
    where not is_withdrawn
    group by district_code, consumed_date
),

last_day as (
    select max(date) as last_date from day
),

outage as (
    select
        outage.district_code,
        outage.customers,
        outage.started_at,
        coalesce(outage.ended_at, {{ city_midnight('date_add(last_day.last_date, 1)') }}) as ended_at
    from {{ ref('stg_energy__outage') }} as outage
    cross join last_day
    where not outage.is_withdrawn
),

outage_dated as (
    select
        *,
        explode(
            sequence({{ city_date('started_at') }}, {{ city_date('ended_at') }}, interval 1 day)
        ) as date
    from outage
    where started_at <= ended_at
),

outage_day as (
    select
        district_code,
        date,
        sum(
            customers * (
                unix_micros(least(ended_at, {{ city_midnight('date_add(date, 1)') }}))
                - unix_micros(greatest(started_at, {{ city_midnight('date') }}))
            ) / 6e7D
        ) as customer_minutes,
        count(*) as outages
    from outage_dated
    group by district_code, date
),

warning_day as (
    select
        district_code,
        warned_date as date,
        max(case when kind = 'heat' then level end) as heat_level,
        max(case when kind = 'cold' then level end) as cold_level
    from {{ ref('stg_energy__stress_warning') }}
    where not is_withdrawn
    group by district_code, warned_date
)

select
    day.district_code,
    day.date,
    cast(coalesce(outage_day.outages, 0) as int) as outages,
    case
        when day.customers > 0 then coalesce(outage_day.customer_minutes, 0D) / day.customers
    end as outage_minutes_per_customer,
    cast(coalesce(warning_day.heat_level, 0) as int) as heat_warning_level,
    cast(coalesce(warning_day.cold_level, 0) as int) as cold_warning_level
from day
left join outage_day
    on day.district_code = outage_day.district_code and day.date = outage_day.date
left join warning_day
    on day.district_code = warning_day.district_code and day.date = warning_day.date
