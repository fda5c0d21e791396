with

record as (
    select * from {{ source('silver', 'hospital__allergy_intolerance') }}
)

select
    allergy_intolerance_key,
    source,
    patient_key,
    encounter_key,
    code_system,
    code,
    code_display,
    allergy_type,
    categories,
    criticality,
    clinical_status,
    verification_status,
    onset_at,
    onset_precision,
    recorded_at,
    recorded_precision,
    last_occurrence_at,
    last_occurrence_precision,
    reactions,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
