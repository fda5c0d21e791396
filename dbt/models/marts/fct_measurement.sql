{{
    config(
        materialized='incremental',
        incremental_strategy='replace_changed_slices',
        on_schema_change='fail',
        partition_by='month',
        meta={
            'fingerprint': [
                'observation_key',
                'content_hash',
                'known_from',
                'available_at',
                'usable_at',
                'person_key',
                'is_person_resolved',
                'is_encounter_resolved',
            ],
            'fingerprint_where': 'component_index = 0',
        },
    )
}}

with

measurement as (
    select * from {{ ref('int_observation__unpivoted') }}
),

patient as (
    select * from {{ ref('int_patient__linked') }}
),

encounter as (
    select encounter_key from {{ ref('fct_encounter') }}
)

select
    concat(measurement.observation_key, '-', measurement.component_index) as measurement_key,
    measurement.observation_key,
    measurement.component_index,
    measurement.source,
    coalesce(patient.person_key, measurement.patient_key) as person_key,
    measurement.patient_key,
    measurement.encounter_key,
    measurement.code_system,
    measurement.code,
    measurement.code_display,
    measurement.category_code,
    measurement.status,
    measurement.effective_at,
    measurement.effective_precision,
    measurement.effective_end_at,
    measurement.issued_at,
    measurement.value_type,
    measurement.value_number,
    measurement.value_text,
    measurement.value_comparator,
    measurement.unit,
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
    {{ is_resolved('measurement.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
    measurement.known_from,
    measurement.available_at,
    measurement.usable_at,
    measurement.content_hash,
    coalesce(measurement.month, 'undated') as month
from measurement
left join patient
    on measurement.patient_key = patient.patient_key
left join encounter
    on measurement.encounter_key = encounter.encounter_key
