with

record as (
    select * from {{ source('silver', 'wearables__consent') }}
)

select
    consent_key,
    source,
    participant_key,
    purpose,
    given_at,
    withdrawn_at,
    is_given,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    month,
    {{ is_withdrawn() }} as is_withdrawn
from record
