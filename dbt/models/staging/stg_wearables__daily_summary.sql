with

record as (
    select * from {{ source('silver', 'wearables__daily_summary') }}
)

select
    daily_summary_key,
    source,
    participant_key,
    summary_date,
    steps,
    resting_heart_rate_per_min,
    active_min,
    sleep_min,
    diet_score,
    fruit_vegetable_servings,
    exercise_sessions,
    exercise_min,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    month,
    {{ is_withdrawn() }} as is_withdrawn
from record
