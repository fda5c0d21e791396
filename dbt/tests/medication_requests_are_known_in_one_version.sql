-- At no instant are two rows of a medication request known.
with

known as (
    select
        medication_request_key,
        usable_at,
        superseded_at
    from {{ ref('fct_medication_request_superseded') }}
    where usable_at < superseded_at
    union all
    select
        medication_request_key,
        usable_at,
        cast(null as timestamp) as superseded_at
    from {{ ref('fct_medication_request') }}
),

followed as (
    select
        *,
        lead(usable_at) over (partition by medication_request_key order by usable_at) as next_usable_at
    from known
)

select
    medication_request_key,
    usable_at,
    superseded_at,
    next_usable_at
from followed
where next_usable_at is not null and coalesce(superseded_at > next_usable_at, true)
