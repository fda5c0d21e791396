{#-
    The columns of fct_condition. `condition` is a query of staged conditions, current or superseded. Of several codes for
    one condition the first of ICD-10 is its code, and the first of all where none is.
-#}
{% macro condition_facts(condition, are_superseded=false) %}
    with

    condition as (
        select
            *,
            {{ icd10_coding('codings') }} as icd10
        from ({{ condition }}) as staged
        where
            not is_withdrawn
            and coalesce(verification_status, 'unconfirmed') <> 'refuted'
    ),

    patient as (
        select * from {{ ref('int_patient__linked') }}
    ),

    encounter as (
        select encounter_key from {{ ref('fct_encounter') }}
    )

    select
        condition.condition_key,
        condition.source,
        coalesce(patient.person_key, condition.patient_key) as person_key,
        condition.patient_key,
        condition.encounter_key,
        {% for column, part in [('code_system', 'system'), ('code', 'code'), ('code_display', 'display')] %}
            case
                when condition.icd10 is not null then condition.icd10.{{ part }} else condition.{{ column }}
            end as {{ column }},
        {% endfor %}
        condition.category_code,
        condition.clinical_status,
        condition.verification_status,
        condition.onset_at,
        condition.onset_precision,
        condition.abatement_at,
        condition.abatement_precision,
        condition.recorded_at,
        condition.recorded_precision,
        coalesce(patient.is_person_current, false) as is_person_resolved,
        {{ is_resolved('condition.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
        condition.known_from,
        condition.available_at,
        {% if are_superseded %}condition.superseded_at,{% endif %}
        condition.usable_at
    from condition
    left join patient
        on condition.patient_key = patient.patient_key
    left join encounter
        on condition.encounter_key = encounter.encounter_key
{% endmacro %}
