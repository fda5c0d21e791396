with

device as (
    select *
    from {{ ref('stg_hospital__device') }}
    where not is_withdrawn
),

patient as (
    select * from {{ ref('int_patient__linked') }}
),

organization as (
    select
        alias_key,
        organization_key
    from {{ ref('int_organization__aliased') }}
),

location as (
    select
        alias_key,
        location_key,
        organization_key
    from {{ ref('int_location__aliased') }}
),

facility as (
    select facility_key from {{ ref('dim_facility') }}
),

placed as (
    select
        device.*,
        coalesce(location.location_key, device.location_key) as place_key,
        case
            when device.organization_key is not null
                then coalesce(organization.organization_key, device.organization_key)
            else location.organization_key
        end as facility_key
    from device
    left join organization
        on device.organization_key = organization.alias_key
    left join location
        on device.location_key = location.alias_key
)

select
    placed.device_key,
    placed.source,
    placed.status,
    placed.status_reason_code,
    placed.type_system,
    placed.type_code,
    placed.type_display,
    placed.manufactured_at,
    placed.manufactured_precision,
    placed.expires_at,
    placed.expires_precision,
    placed.serial_key,
    placed.lot_key,
    placed.model_key,
    coalesce(patient.person_key, placed.patient_key) as person_key,
    placed.facility_key,
    placed.place_key as location_key,
    {{ is_resolved('placed.facility_key', 'facility.facility_key') }} as is_facility_resolved,
    placed.known_from,
    placed.available_at,
    placed.usable_at
from placed
left join patient
    on placed.patient_key = patient.patient_key
left join facility
    on placed.facility_key = facility.facility_key
