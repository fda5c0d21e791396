with

record as (
    select * from {{ source('silver', 'pharmacy__dispense') }}
)

select
    dispense_key,
    source,
    pharmacy_id,
    {{ shop_key() }} as facility_key,
    customer_key,
    prescription_key,
    article_no,
    atc_code,
    article_name,
    quantity,
    unit,
    strength,
    days_supply,
    unit_price_eur,
    dispensed_at,
    reverses_key,
    is_reversal,
    posted_at,
    version_at,
    known_from,
    available_at,
    usable_at,
    content_hash,
    month,
    {{ is_withdrawn() }} as is_withdrawn
from record
