with

record as (
    select * from {{ source('silver', 'hospital__patient') }}
)

select
    patient_key,
    source,
    sex,
    birth_year,
    birth_month,
    birth_precision,
    is_deceased,
    deceased_at,
    deceased_precision,
    postal_district,
    identifier_keys,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
