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

-- An outage of an unknown number of customers leaves the day's minutes unknown.
outage_day as (
    select
        district_code,
        date,
        case
            when count(*) = count(customers)
                then
                    sum(
                        customers * (
                            unix_micros(least(ended_at, {{ city_midnight('date_add(date, 1)') }}))
                            - unix_micros(greatest(started_at, {{ city_midnight('date') }}))
                        ) / 6e7D
                    )
        end as customer_minutes,
        count(*) as outages
    from outage_dated
    group by district_code, date
),

-- A warning of an unknown level leaves the day's level unknown; without a warning it is 0.
warning_day as (
    select
        district_code,
        warned_date as date,
        {%- for kind in ['heat', 'cold'] %}
            case
                when max(case when kind = '{{ kind }}' and level is null then 1 else 0 end) = 0
                    then coalesce(max(case when kind = '{{ kind }}' then level end), 0)
            end as {{ kind }}_level{% if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ ref('stg_energy__stress_warning') }}
    where not is_withdrawn
    group by district_code, warned_date
)

select
    day.district_code,
    day.date,
    cast(coalesce(outage_day.outages, 0) as int) as outages,
    case
        when day.customers > 0
            then case when outage_day.date is null then 0D else outage_day.customer_minutes end / day.customers
    end as outage_minutes_per_customer,
    cast(case when warning_day.date is null then 0 else warning_day.heat_level end as int) as heat_warning_level,
    cast(case when warning_day.date is null then 0 else warning_day.cold_level end as int) as cold_warning_level
from day
left join outage_day
    on day.district_code = outage_day.district_code and day.date = outage_day.date
left join warning_day
    on day.district_code = warning_day.district_code and day.date = warning_day.date
