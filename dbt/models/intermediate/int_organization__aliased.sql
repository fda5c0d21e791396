with

organization as (
    select
        organization_key,
        source,
        identifier_keys
    from {{ ref('stg_hospital__organization') }}
    where not is_withdrawn
),

alias as (
    select
        organization_key as alias_key,
        source,
        organization_key
    from organization
    union all
    select
        alias_key,
        source,
        organization_key
    from organization
        lateral view explode(identifier_keys) exploded as alias_key
)

select
    alias_key,
    source,
    min(organization_key) as organization_key
from alias
group by alias_key, source
