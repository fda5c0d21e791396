select
    facility_key,
    source,
    date
from {{ ref('agg_facility_daily') }}
where occupancy < 0
