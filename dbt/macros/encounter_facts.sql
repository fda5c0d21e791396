{#- The columns of fct_encounter. `encounter` is a query of rows of int_encounter__located, current or superseded. -#}
{% macro encounter_facts(encounter, are_superseded=false) %}
    with

    encounter as (
        {{ encounter }}
    ),

    patient as (
        select * from {{ ref('int_patient__linked') }}
    ),

    facility as (
        select facility_key from {{ ref('dim_facility') }}
    )

    select
        encounter.encounter_key,
        encounter.source,
        coalesce(patient.person_key, encounter.patient_key) as person_key,
        encounter.patient_key,
        encounter.facility_key,
        encounter.location_unit,
        encounter.visit_key,
        encounter.told_by,
        encounter.part_of_key,
        encounter.status,
        encounter.class_code,
        encounter.priority_code,
        encounter.type_code,
        encounter.reason_code,
        encounter.started_at,
        encounter.started_precision,
        {{ local_date('encounter.started_at', 'encounter.started_precision', 'encounter.source') }} as started_date,
        encounter.ended_at,
        encounter.ended_precision,
        {{ local_date('encounter.ended_at', 'encounter.ended_precision', 'encounter.source') }} as ended_date,
        encounter.end_told_by,
        encounter.admit_source_code,
        encounter.discharge_disposition_code,
        coalesce(encounter.class_code in ('IMP', 'ACUTE', 'NONAC'), false) as is_inpatient,
        coalesce(encounter.priority_code = 'EL', false) as is_planned,
        case
            when
                encounter.started_precision in ('second', 'day')
                and encounter.ended_precision = encounter.started_precision
                then (unix_micros(encounter.ended_at) - unix_micros(encounter.started_at)) / 3.6e9D
        end as length_of_stay_hours,
        coalesce(patient.is_person_current, false) as is_person_resolved,
        facility.facility_key is not null as is_facility_resolved,
        encounter.first_known_at,
        encounter.known_from,
        encounter.available_at,
        {% if are_superseded %}encounter.superseded_at, encounter.superseded_by,{% endif %}
        encounter.usable_at
    from encounter
    left join patient
        on encounter.patient_key = patient.patient_key
    left join facility
        on encounter.facility_key = facility.facility_key
{% endmacro %}
