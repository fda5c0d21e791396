with

procedure as (
    select *
    from {{ ref('stg_hospital__procedure') }}
    where
        not is_withdrawn
        and status in ('completed', 'stopped')
),

patient as (
    select * from {{ ref('int_patient__linked') }}
),

encounter as (
    select
        encounter_key,
        facility_key
    from {{ ref('fct_encounter') }}
),

location as (
    select
        alias_key,
        organization_key
    from {{ ref('int_location__aliased') }}
),

performer as (
    select
        numbered.procedure_key,
        min_by(practitioner.practitioner_key, numbered.position) as practitioner_key
    from (
        select
            procedure_key,
            position,
            alias_key
        from procedure
            lateral view posexplode(performer_keys) exploded as position, alias_key
    ) as numbered
    inner join {{ ref('int_performer__aliased') }} as practitioner
        on numbered.alias_key = practitioner.alias_key
    group by numbered.procedure_key
)

select
    procedure.procedure_key,
    procedure.source,
    coalesce(patient.person_key, procedure.patient_key) as person_key,
    procedure.patient_key,
    procedure.encounter_key,
    coalesce(location.organization_key, encounter.facility_key) as facility_key,
    performer.practitioner_key,
    procedure.code_system,
    procedure.code,
    procedure.code_display,
    procedure.category_code,
    procedure.status,
    procedure.performed_at,
    procedure.performed_precision,
    procedure.performed_end_at,
    procedure.performed_end_precision,
    procedure.reason_system,
    procedure.reason_code,
    procedure.reason_display,
    procedure.body_site_system,
    procedure.body_site_code,
    procedure.body_site_display,
    procedure.outcome_system,
    procedure.outcome_code,
    procedure.outcome_display,
    coalesce(patient.is_person_current, false) as is_person_resolved,
    {{ is_resolved('procedure.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
    procedure.known_from,
    procedure.available_at,
    procedure.usable_at
from procedure
left join patient
    on procedure.patient_key = patient.patient_key
left join encounter
    on procedure.encounter_key = encounter.encounter_key
left join location
    on procedure.location_key = location.alias_key
left join performer
    on procedure.procedure_key = performer.procedure_key
