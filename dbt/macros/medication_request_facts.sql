{#-
    The columns of fct_medication_request. `request` is a query of rows of int_medication_request__coded,
    current or superseded.
-#}
{% macro medication_request_facts(request, are_superseded=false) %}
    with

    request as (
        {{ request }}
    ),

    patient as (
        select * from {{ ref('int_patient__linked') }}
    ),

    encounter as (
        select encounter_key from {{ ref('fct_encounter') }}
    )

    select
        request.medication_request_key,
        request.source,
        coalesce(patient.person_key, request.patient_key) as person_key,
        request.patient_key,
        request.encounter_key,
        request.medication_key,
        request.code_system,
        request.code,
        request.code_display,
        request.status,
        request.intent,
        request.authored_at,
        request.authored_precision,
        coalesce(patient.is_person_current, false) as is_person_resolved,
        {{ is_resolved('request.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
        request.code is not null as is_medication_resolved,
        request.known_from,
        request.available_at,
        {% if are_superseded %}
        request.superseded_at,
        request.medication_superseded_at,
        {% endif %}
        request.usable_at
    from request
    left join patient
        on request.patient_key = patient.patient_key
    left join encounter
        on request.encounter_key = encounter.encounter_key
{% endmacro %}
