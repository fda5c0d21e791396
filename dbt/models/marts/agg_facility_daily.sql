with

encounter as (
    select
        encounter_key,
        part_of_key,
        facility_key,
        source,
        is_inpatient,
        status,
        started_date,
        case when ended_at <= known_from then ended_date end as ended_date
    from {{ ref('fct_encounter') }}
    where
        facility_key is not null
        and (is_inpatient or class_code = 'EMER')
        and started_date is not null
        and started_at <= known_from
),

-- A part of an encounter that is counted is not counted again; one whose whole is no fact stands for it.
counted as (
    select part.*
    from encounter as part
    left anti join encounter as whole
        on part.part_of_key = whole.encounter_key
),

-- A stay that is over but does not say when is admitted, and counts as present on no night.
event as (
    select
        facility_key,
        source,
        started_date as date,
        1 as arrivals,
        case when is_inpatient then 1 else 0 end as admissions,
        0 as discharges,
        case when is_inpatient and (ended_date is not null or status <> 'finished') then 1 else 0 end
            as presence_change
    from counted
    union all
    select
        facility_key,
        source,
        ended_date as date,
        0 as arrivals,
        0 as admissions,
        1 as discharges,
        -1 as presence_change
    from counted
    where
        is_inpatient
        and ended_date is not null
),

daily as (
    select
        facility_key,
        source,
        date,
        sum(arrivals) as arrivals,
        sum(admissions) as admissions,
        sum(discharges) as discharges,
        sum(presence_change) as presence_change
    from event
    group by facility_key, source, date
),

first_day as (
    select
        facility_key,
        source,
        min(date) as first_date
    from daily
    group by facility_key, source
),

last_day as (
    select
        source,
        max(date) as last_date
    from daily
    group by source
),

calendar as (
    select
        first_day.facility_key,
        first_day.source,
        explode(sequence(first_day.first_date, last_day.last_date, interval 1 day)) as date
    from first_day
    inner join last_day
        on first_day.source = last_day.source
)

select
    calendar.facility_key,
    calendar.source,
    calendar.date,
    cast(coalesce(daily.arrivals, 0) as int) as arrivals,
    cast(coalesce(daily.admissions, 0) as int) as admissions,
    cast(coalesce(daily.discharges, 0) as int) as discharges,
    cast(
        sum(coalesce(daily.presence_change, 0)) over (
            partition by calendar.facility_key, calendar.source
            order by calendar.date
            rows between unbounded preceding and current row
        ) as int
    ) as occupancy
from calendar
left join daily
    on
        calendar.facility_key = daily.facility_key
        and calendar.source = daily.source
        and calendar.date = daily.date
