with

record as (
    select * from {{ source('silver', 'wearables__questionnaire') }}
)

select
    questionnaire_key,
    source,
    participant_key,
    kind,
    items,
    answered_items,
    is_complete,
    total,
    answered_at,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    month,
    {{ is_withdrawn() }} as is_withdrawn
from record
