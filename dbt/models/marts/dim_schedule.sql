with

schedule as (
    select *
    from {{ ref('stg_hospital__schedule') }}
    where not is_withdrawn
),

role as (
    select
        practitioner_role_key,
        practitioner_key,
        facility_key
    from {{ ref('int_practitioner_role__resolved') }}
),

practitioner as (
    select
        alias_key,
        practitioner_key
    from {{ ref('int_practitioner__aliased') }}
),

location as (
    select
        alias_key,
        location_key,
        organization_key
    from {{ ref('int_location__aliased') }}
),

device as (
    select
        device_key,
        facility_key
    from {{ ref('dim_device') }}
),

actor as (
    select
        schedule_key,
        actor_key
    from schedule
        lateral view explode(actor_keys) exploded as actor_key
),

known as (
    select
        actor.schedule_key,
        min(coalesce(role.practitioner_key, practitioner.practitioner_key)) as practitioner_key,
        min(location.location_key) as location_key,
        min(device.device_key) as device_key,
        coalesce(min(location.organization_key), min(role.facility_key), min(device.facility_key)) as facility_key,
        min(
            coalesce(
                role.practitioner_role_key, practitioner.practitioner_key, location.location_key, device.device_key
            ) is not null
        ) as is_actor_resolved
    from actor
    left join role
        on actor.actor_key = role.practitioner_role_key
    left join practitioner
        on actor.actor_key = practitioner.alias_key
    left join location
        on actor.actor_key = location.alias_key
    left join device
        on actor.actor_key = device.device_key
    group by actor.schedule_key
)

select
    schedule.schedule_key,
    schedule.source,
    coalesce(schedule.is_active, true) as is_current,
    schedule.service_type_system,
    schedule.service_type_code,
    schedule.service_type_display,
    schedule.specialty_system,
    schedule.specialty_code,
    schedule.specialty_display,
    known.practitioner_key,
    known.location_key,
    known.device_key,
    known.facility_key,
    schedule.started_at,
    schedule.started_precision,
    schedule.ended_at,
    schedule.ended_precision,
    known.is_actor_resolved,
    schedule.known_from,
    schedule.available_at,
    schedule.usable_at
from schedule
left join known
    on schedule.schedule_key = known.schedule_key
