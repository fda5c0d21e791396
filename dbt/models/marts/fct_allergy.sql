with

allergy_intolerance as (
    select *
    from {{ ref('stg_hospital__allergy_intolerance') }}
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
    allergy_intolerance.allergy_intolerance_key,
    allergy_intolerance.source,
    coalesce(patient.person_key, allergy_intolerance.patient_key) as person_key,
    allergy_intolerance.patient_key,
    allergy_intolerance.encounter_key,
    allergy_intolerance.code_system,
    allergy_intolerance.code,
    allergy_intolerance.code_display,
    allergy_intolerance.allergy_type,
    array_join(allergy_intolerance.categories, ',') as categories,
    allergy_intolerance.criticality,
    allergy_intolerance.clinical_status,
    allergy_intolerance.verification_status,
    allergy_intolerance.onset_at,
    allergy_intolerance.onset_precision,
    allergy_intolerance.recorded_at,
    allergy_intolerance.recorded_precision,
    allergy_intolerance.last_occurrence_at,
    allergy_intolerance.last_occurrence_precision,
    cast(greatest(coalesce(size(allergy_intolerance.reactions), 0), 0) as int) as reaction_count,
    get(get(allergy_intolerance.reactions, 0).manifestations, 0).system as reaction_system,
    get(get(allergy_intolerance.reactions, 0).manifestations, 0).code as reaction_code,
    get(get(allergy_intolerance.reactions, 0).manifestations, 0).display as reaction_display,
    case
        when exists(allergy_intolerance.reactions, x -> x.severity = 'severe') then 'severe'
        when exists(allergy_intolerance.reactions, x -> x.severity = 'moderate') then 'moderate'
        when exists(allergy_intolerance.reactions, x -> x.severity = 'mild') then 'mild'
    end as worst_severity,
    coalesce(patient.is_person_current, false) as is_person_resolved,
    {{ is_resolved('allergy_intolerance.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
    allergy_intolerance.known_from,
    allergy_intolerance.available_at,
    allergy_intolerance.usable_at
from allergy_intolerance
left join patient
    on allergy_intolerance.patient_key = patient.patient_key
left join encounter
    on allergy_intolerance.encounter_key = encounter.encounter_key
