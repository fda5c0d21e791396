with

record as (
    select * from {{ source('silver', 'pharmacy__article') }}
)

select
    article_key,
    source,
    article_no,
    atc_code,
    article_name,
    strength,
    unit,
    pack_size,
    is_prescription_only,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
