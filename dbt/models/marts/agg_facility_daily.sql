with

latest_export as (
    select
        source,
        max(known_from) as made_at
    from {{ ref('fct_encounter') }}
    group by source
),

-- An end announced for later than the latest export has not come.
encounter as (
    select
        fact.encounter_key,
        fact.part_of_key,
        fact.facility_key,
        fact.source,
        fact.is_inpatient,
        fact.started_date,
        case when fact.ended_at <= latest_export.made_at then fact.ended_date end as ended_date,
        fact.status <> 'finished' or coalesce(fact.ended_at > latest_export.made_at, false) as is_unfinished
    from {{ ref('fct_encounter') }} as fact
    inner join latest_export
        on fact.source = latest_export.source
    where
        fact.facility_key is not null
        and (fact.is_inpatient or fact.class_code = 'EMER')
        and fact.started_date is not null
        and fact.started_at <= fact.known_from
),

-- A part of an encounter that is counted is not counted again; one whose whole is no fact stands for it. Of two that
-- say they are part of each other, one is counted.
arrival as (
    select part.*
    from encounter as part
    left anti join encounter as whole
        on
            part.part_of_key = whole.encounter_key
            and part.encounter_key <> whole.encounter_key
            and (coalesce(part.encounter_key <> whole.part_of_key, true) or part.encounter_key > whole.encounter_key)
),

-- So it is among stays; and the emergency encounter that a stay is part of may lie in a stay.
stay as (
    select
        part.*,
        case when whole.is_inpatient then whole.encounter_key else whole.part_of_key end as whole_stay_key
    from encounter as part
    left join encounter as whole
        on part.part_of_key = whole.encounter_key
    where part.is_inpatient
),

admission as (
    select part.*
    from stay as part
    left anti join stay as whole
        on
            part.whole_stay_key = whole.encounter_key
            and part.encounter_key <> whole.encounter_key
            and (coalesce(part.encounter_key <> whole.whole_stay_key, true) or part.encounter_key > whole.encounter_key)
),

-- A stay that is over but does not say when is admitted, and counts as present on no night.
event as (
    select
        facility_key,
        source,
        started_date as date,
        1 as arrivals,
        0 as admissions,
        0 as discharges,
        0 as presence_change
    from arrival
    union all
    select
        facility_key,
        source,
        started_date as date,
        0 as arrivals,
        1 as admissions,
        0 as discharges,
        case when is_unfinished or ended_date is not null then 1 else 0 end as presence_change
    from admission
    union all
    select
        facility_key,
        source,
        ended_date as date,
        0 as arrivals,
        0 as admissions,
        1 as discharges,
        -1 as presence_change
    from admission
    where ended_date is not null
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

visited as (
    select
        first_day.facility_key,
        first_day.source,
        explode(sequence(first_day.first_date, last_day.last_date, interval 1 day)) as date
    from first_day
    inner join last_day
        on first_day.source = last_day.source
),

counted as (
    select
        visited.facility_key,
        visited.source,
        visited.date,
        coalesce(daily.arrivals, 0) as arrivals,
        coalesce(daily.admissions, 0) as admissions,
        coalesce(daily.discharges, 0) as discharges,
        sum(coalesce(daily.presence_change, 0)) over (
            partition by visited.facility_key, visited.source
            order by visited.date
            rows between unbounded preceding and current row
        ) as occupancy
    from visited
    left join daily
        on
            visited.facility_key = daily.facility_key
            and visited.source = daily.source
            and visited.date = daily.date
),

resourced as (
    select * from {{ ref('int_facility__resourced') }}
),

told as (
    select
        facility_key,
        source,
        min(date) as first_date,
        max(date) as last_date
    from (
        select
            facility_key,
            source,
            date
        from visited
        union all
        select
            facility_key,
            source,
            date
        from resourced
    ) as of_any_kind
    group by facility_key, source
),

calendar as (
    select
        facility_key,
        source,
        explode(sequence(first_date, last_date, interval 1 day)) as date
    from told
)

select
    calendar.facility_key,
    calendar.source,
    calendar.date,
    cast(counted.arrivals as int) as arrivals,
    cast(counted.admissions as int) as admissions,
    cast(counted.discharges as int) as discharges,
    cast(counted.occupancy as int) as occupancy,
    resourced.beds,
    resourced.beds_occupied,
    resourced.beds_free,
    resourced.beds_closed,
    resourced.staff_on_duty,
    resourced.doctors_on_duty,
    resourced.nurses_on_duty,
    resourced.staff_sick,
    resourced.stock_items,
    resourced.stock_items_out,
    resourced.packs_on_hand,
    resourced.packs_delivered,
    resourced.packs_dispensed
from calendar
left join counted
    on
        calendar.facility_key = counted.facility_key
        and calendar.source = counted.source
        and calendar.date = counted.date
left join resourced
    on
        calendar.facility_key = resourced.facility_key
        and calendar.source = resourced.source
        and calendar.date = resourced.date
