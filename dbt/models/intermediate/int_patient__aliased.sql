with

patient as (
    select
        patient_key,
        source,
        identifier_keys
    from {{ ref('stg_hospital__patient') }}
    where not is_withdrawn
)

-- Of two records with one number, the same is named whatever came first.
select
    alias_key,
    source,
    min(patient_key) as patient_key
from patient
    lateral view explode(identifier_keys) exploded as alias_key
group by alias_key, source
