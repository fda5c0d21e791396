-- One row per dwelling and period in which as many people lived there.
with

change as (
    select
        dwelling_key,
        moved_in_date as date,
        1 as residents
    from {{ ref('stg_housing__residence') }}
    where not is_withdrawn and moved_in_date is not null
    union all
    select
        dwelling_key,
        date_add(moved_out_date, 1) as date,
        -1 as residents
    from {{ ref('stg_housing__residence') }}
    where not is_withdrawn and moved_in_date is not null and moved_out_date is not null
),

daily as (
    select
        dwelling_key,
        date,
        sum(residents) as residents
    from change
    group by dwelling_key, date
)

select
    dwelling_key,
    date as first_date,
    coalesce(
        date_sub(lead(date) over (partition by dwelling_key order by date), 1), date '9999-12-31'
    ) as last_date,
    sum(residents) over (
        partition by dwelling_key order by date
        rows between unbounded preceding and current row
    ) as residents
from daily
