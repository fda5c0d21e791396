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
),

register as (
    select
        facility_id,
        kind,
        max(name) as name,
        max(postal_sector) as postal_sector,
        max(district_code) as district_code
    from {{ ref('stg_housing__facility') }}
    where not is_withdrawn
    group by facility_id, kind
),

placed as (
    select
        house.concept as source,
        max(register.postal_sector) as postal_sector,
        max(register.district_code) as district_code
    from {{ source('rules', 'code_meaning') }} as house
    inner join register
        on house.code = register.facility_id
    where house.map = 'house' and register.kind = 'hospital'
    group by house.concept
),

shop as (
    select
        facility_key,
        source,
        pharmacy_id,
        min(known_from) as known_from,
        min(available_at) as available_at,
        min(usable_at) as usable_at
    from (
        {%- for entity in ['dispense', 'stock', 'delivery'] %}
            select
                facility_key,
                source,
                pharmacy_id,
                known_from,
                available_at,
                usable_at
            from {{ ref('stg_pharmacy__' ~ entity) }}
            where not is_withdrawn and facility_key is not null
            {% if not loop.last %}union all{% endif %}
        {%- endfor %}
    ) as told
    group by facility_key, source, pharmacy_id
),

facility as (
    select
        organization.organization_key as facility_key,
        organization.source,
        'hospital' as kind,
        organization.name,
        organization.type_code as facility_type,
        organization.is_active,
        coalesce(alias.organization_key, organization.part_of_key) as parent_facility_key,
        location.location_count,
        placed.postal_sector,
        placed.district_code,
        organization.known_from,
        organization.available_at,
        organization.usable_at
    from organization
    left join alias
        on organization.part_of_key = alias.alias_key
    left join location
        on organization.organization_key = location.organization_key
    left join placed
        on organization.source = placed.source
    union all
    select
        shop.facility_key,
        shop.source,
        'pharmacy' as kind,
        coalesce(register.name, shop.pharmacy_id) as name,
        cast(null as string) as facility_type,
        cast(null as boolean) as is_active,
        cast(null as string) as parent_facility_key,
        cast(null as bigint) as location_count,
        register.postal_sector,
        register.district_code,
        shop.known_from,
        shop.available_at,
        shop.usable_at
    from shop
    left join register
        on shop.pharmacy_id = register.facility_id and register.kind = 'pharmacy'
)

select
    facility_key,
    source,
    kind,
    name,
    facility_type,
    coalesce(is_active, true) as is_current,
    parent_facility_key,
    cast(coalesce(location_count, 0) as int) as location_count,
    postal_sector,
    district_code,
    known_from,
    available_at,
    usable_at
from facility
