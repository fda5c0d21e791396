with

role as (
    select *
    from {{ ref('stg_hospital__practitioner_role') }}
    where not is_withdrawn
),

practitioner as (
    select
        alias_key,
        practitioner_key
    from {{ ref('int_practitioner__aliased') }}
),

organization as (
    select
        alias_key,
        organization_key
    from {{ ref('int_organization__aliased') }}
)

select
    role.practitioner_role_key,
    role.source,
    role.role_system,
    role.role_code,
    role.role_display,
    role.specialty_system,
    role.specialty_code,
    role.specialty_display,
    role.started_at,
    role.started_precision,
    role.ended_at,
    role.ended_precision,
    role.version_at,
    role.known_from,
    role.available_at,
    role.usable_at,
    coalesce(practitioner.practitioner_key, role.practitioner_key) as practitioner_key,
    coalesce(organization.organization_key, role.organization_key) as facility_key,
    coalesce(role.is_active, true) as is_current
from role
left join practitioner
    on role.practitioner_key = practitioner.alias_key
left join organization
    on role.organization_key = organization.alias_key
