{#-
    The columns of fct_measurement. `measurement` is a query of rows of int_measurement__unified or
    int_measurement__superseded. Values that quality.suspects holds back are left out.
-#}
{% macro measurement_facts(measurement, are_superseded=false) %}
    with

    measurement as (
        {{ measured(measurement) }}
    ),

    suspect as (
        select distinct
            observation_key,
            component_index,
            content_hash,
            verdict,
            factor,
            addend
        from {{ ref('suspects') }}
        where is_current = {{ 'false' if are_superseded else 'true' }}
    ),

    patient as (
        select * from {{ ref('int_patient__linked') }}
    ),

    visit as (
        select * from {{ ref('int_visit__encountered') }}
    ),

    encounter as (
        select encounter_key from {{ ref('fct_encounter') }}
    )

    select
        concat(measurement.observation_key, '-', measurement.component_index) as measurement_key,
        measurement.observation_key,
        measurement.component_index,
        measurement.source,
        measurement.told_by,
        measurement.result_key,
        case when measurement.told_by = 'wearables' then 'PTRES' else 'HOSP' end as location_type_code,
        coalesce(patient.person_key, measurement.patient_key) as person_key,
        measurement.patient_key,
        coalesce(measurement.encounter_key, visit.encounter_key, measurement.visit_key) as encounter_key,
        measurement.code_system,
        measurement.code,
        measurement.code_display,
        measurement.category_code,
        measurement.status,
        measurement.effective_at,
        measurement.effective_precision,
        measurement.effective_end_at,
        measurement.effective_end_precision,
        measurement.issued_at,
        measurement.value_type,
        measurement.value_number,
        measurement.value_text,
        measurement.value_comparator,
        measurement.unit,
        measurement.concept,
        case
            when suspect.verdict = 'recovered' then suspect.factor * measurement.value_number + suspect.addend
            else measurement.value_as_sent
        end as value_canonical,
        case when measurement.value_as_sent is not null then measurement.unit_canonical end as unit_canonical,
        case
            when measurement.value_as_sent is null then null
            when suspect.verdict = 'recovered' then 'recovered'
            when measurement.factor = 1 and measurement.addend = 0 then 'as_sent'
            else 'converted'
        end as harmonisation,
        measurement.value_code_system,
        measurement.value_code,
        measurement.value_display,
        measurement.value_boolean,
        measurement.value_low,
        measurement.value_high,
        measurement.value_denominator,
        measurement.value_denominator_unit,
        measurement.interpretation_code,
        measurement.data_absent_reason,
        coalesce(patient.is_person_current, false) as is_person_resolved,
        case
            when measurement.visit_key is not null then visit.encounter_key is not null
            when measurement.encounter_key is not null then encounter.encounter_key is not null
        end as is_encounter_resolved,
        measurement.first_known_at,
        measurement.known_from,
        measurement.available_at,
        measurement.usable_at,
        {% if are_superseded %}measurement.superseded_at, measurement.superseded_by,{% endif %}
        measurement.content_hash,
        coalesce(measurement.month, 'undated') as month
    from measurement
    left join suspect
        on
            measurement.observation_key = suspect.observation_key
            and measurement.component_index = suspect.component_index
            and measurement.content_hash = suspect.content_hash
    left join patient
        on measurement.patient_key = patient.patient_key
    left join visit
        on measurement.visit_key = visit.visit_key
    left join encounter
        on measurement.encounter_key = encounter.encounter_key
    where suspect.verdict is null or suspect.verdict = 'recovered'
{% endmacro %}
