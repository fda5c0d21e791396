with

practitioner as (
    select
        practitioner_key,
        source,
        identifier_keys
    from {{ ref('stg_hospital__practitioner') }}
    where not is_withdrawn
),

alias as (
    select
        practitioner_key as alias_key,
        source,
        practitioner_key
    from practitioner
    union all
    select
        alias_key,
        source,
        practitioner_key
    from practitioner
        lateral view explode(identifier_keys) exploded as alias_key
)

select
    alias_key,
    source,
    min(practitioner_key) as practitioner_key
from alias
group by alias_key, source
