with

record as (
    select * from {{ source('silver', 'pharmacy__delivery') }}
)

select
    delivery_key,
    source,
    pharmacy_id,
    {{ shop_key() }} as facility_key,
    article_no,
    ordered_at,
    promised_date,
    ordered_quantity,
    delivered_at,
    delivered_quantity,
    lot,
    expiry_date,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
