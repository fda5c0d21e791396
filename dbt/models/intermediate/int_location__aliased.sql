with

location as (
    select
        location_key,
        source,
        organization_key,
        identifier_keys
    from {{ ref('stg_hospital__location') }}
    where not is_withdrawn
),

organization as (
    select
        alias_key,
        organization_key
    from {{ ref('int_organization__aliased') }}
),

alias as (
    select
        location_key as alias_key,
        source,
        location_key,
        organization_key
    from location
    union all
    select
        alias_key,
        source,
        location_key,
        organization_key
    from location
        lateral view explode(identifier_keys) exploded as alias_key
),

managed as (
    select
        alias.alias_key,
        alias.source,
        alias.location_key,
        coalesce(organization.organization_key, alias.organization_key) as organization_key
    from alias
    left join organization
        on alias.organization_key = organization.alias_key
)

select
    alias_key,
    source,
    min(location_key) as location_key,
    min(organization_key) as organization_key
from managed
group by alias_key, source
