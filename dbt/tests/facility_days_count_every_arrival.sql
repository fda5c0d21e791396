-- Arrivals of all facility days are the emergency and inpatient encounters whose facility and day are known.
with

counted as (
    select coalesce(sum(arrivals), 0) as arrivals
    from {{ ref('agg_facility_daily') }}
),

expected as (
    select count(*) as arrivals
    from {{ ref('fct_encounter') }}
    where
        facility_key is not null
        and part_of_key is null
        and class_code in ('EMER', 'IMP', 'ACUTE', 'NONAC')
        and started_precision in ('second', 'day')
        and started_at <= known_from
)

select
    counted.arrivals,
    expected.arrivals as expected_arrivals
from counted
cross join expected
where counted.arrivals <> expected.arrivals
