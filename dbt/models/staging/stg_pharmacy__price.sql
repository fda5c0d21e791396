with

record as (
    select * from {{ source('silver', 'pharmacy__price') }}
)

select
    price_key,
    source,
    article_no,
    atc_code,
    article_name,
    price,
    currency,
    first_date,
    last_date,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
