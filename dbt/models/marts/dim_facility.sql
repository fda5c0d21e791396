with

organization as (
    select *
    from {{ ref('stg_hospital__organization') }}
    where not is_withdrawn
),

alias as (
    select
        alias_key,
        organization_key
    from {{ ref('int_organization__aliased') }}
),

location as (
    select
        organization_key,
        count(distinct location_key) as location_count
    from {{ ref('int_location__aliased') }}
    group by organization_key
)

select
    organization.organization_key as facility_key,
    organization.source,
    organization.name,
    organization.type_code as facility_type,
    coalesce(organization.is_active, true) as is_current,
    coalesce(alias.organization_key, organization.part_of_key) as parent_facility_key,
    cast(coalesce(location.location_count, 0) as int) as location_count,
    organization.known_from,
    organization.available_at,
    organization.usable_at
from organization
left join alias
    on organization.part_of_key = alias.alias_key
left join location
    on organization.organization_key = location.organization_key
