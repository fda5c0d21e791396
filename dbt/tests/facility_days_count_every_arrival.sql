-- Arrivals of all facility days are the emergency and inpatient encounters whose facility and day are known, without
-- those that are part of another.
with

counted as (
    select coalesce(sum(arrivals), 0) as arrivals
    from {{ ref('agg_facility_daily') }}
),

candidate as (
    select
        encounter_key,
        part_of_key
    from {{ ref('fct_encounter') }}
    where
        facility_key is not null
        and class_code in ('EMER', 'IMP', 'ACUTE', 'NONAC')
        and started_precision in ('second', 'day')
        and started_at <= known_from
),

whole as (
    select encounter_key from candidate
),

expected as (
    select count(*) as arrivals
    from candidate
    left join whole
        on candidate.part_of_key = whole.encounter_key
    where whole.encounter_key is null
)

select
    counted.arrivals,
    expected.arrivals as expected_arrivals
from counted
cross join expected
where counted.arrivals <> expected.arrivals
