with

record as (
    select * from {{ source('silver', 'pharmacy__stock') }}
)

select
    stock_key,
    source,
    pharmacy_id,
    {{ shop_key() }} as facility_key,
    article_no,
    atc_code,
    lot,
    counted_date,
    expiry_date,
    quantity,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
