with

record as (
    select * from {{ source('silver', 'hospital_resources__drug_stock') }}
)

select
    drug_stock_key,
    source,
    hospital_id,
    ward,
    atc_code,
    article_name,
    quantity,
    unit,
    lot,
    expiry_date,
    report_date,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
