with

practitioner as (
    select *
    from {{ ref('stg_hospital__practitioner') }}
    where not is_withdrawn
),

role as (
    select
        *,
        count(*) over (partition by practitioner_key) as role_count,
        row_number() over (
            partition by practitioner_key
            order by
                (is_current and ended_at is null) desc,
                is_current desc,
                started_at desc,
                version_at desc,
                practitioner_role_key asc
        ) as place
    from {{ ref('int_practitioner_role__resolved') }}
),

facility as (
    select facility_key from {{ ref('dim_facility') }}
)

select
    practitioner.practitioner_key,
    practitioner.source,
    practitioner.sex,
    coalesce(practitioner.is_active, true) as is_current,
    role.role_system,
    role.role_code,
    role.role_display,
    role.specialty_system,
    role.specialty_code,
    role.specialty_display,
    role.facility_key,
    {{ is_resolved('role.facility_key', 'facility.facility_key') }} as is_facility_resolved,
    cast(coalesce(role.role_count, 0) as int) as role_count,
    practitioner.known_from,
    practitioner.available_at,
    practitioner.usable_at
from practitioner
left join role
    on
        practitioner.practitioner_key = role.practitioner_key
        and role.place = 1
left join facility
    on role.facility_key = facility.facility_key
