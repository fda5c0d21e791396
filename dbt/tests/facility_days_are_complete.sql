-- Each facility has one row for every day between its first and its last.
select
    facility_key,
    source,
    count(*) as day_count,
    datediff(max(date), min(date)) + 1 as expected_count
from {{ ref('agg_facility_daily') }}
group by facility_key, source
having count(*) <> datediff(max(date), min(date)) + 1 or count(distinct date) <> count(*)
