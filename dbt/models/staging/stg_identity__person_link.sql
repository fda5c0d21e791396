with

link as (
    select * from {{ source('silver', 'person_link') }}
),

ranked as (
    select
        patient_key,
        source,
        person_key,
        linked_at,
        row_number() over (partition by patient_key order by linked_at desc, person_key asc) as recency
    from link
)

select
    patient_key,
    source,
    person_key,
    linked_at
from ranked
where recency = 1
