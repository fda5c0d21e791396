with

record as (
    select * from {{ source('silver', 'hospital__care_plan') }}
)

select
    care_plan_key,
    source,
    patient_key,
    encounter_key,
    status,
    intent,
    category_system,
    category_code,
    category_display,
    started_at,
    started_precision,
    ended_at,
    ended_precision,
    created_at,
    created_precision,
    addressed_keys,
    activities,
    author_key,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
