with

record as (
    select * from {{ source('silver', 'hospital__condition') }}
)

select
    condition_key,
    source,
    patient_key,
    encounter_key,
    code_system,
    code,
    code_display,
    codings,
    category_code,
    clinical_status,
    verification_status,
    onset_at,
    onset_precision,
    abatement_at,
    abatement_precision,
    recorded_at,
    recorded_precision,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
