with

record as (
    select * from {{ source('silver', 'hospital__encounter') }}
)

select
    encounter_key,
    source,
    patient_key,
    status,
    class_code,
    priority_code,
    type_code,
    reason_codings,
    started_at,
    started_precision,
    ended_at,
    ended_precision,
    admit_source_code,
    discharge_disposition_code,
    location_key,
    organization_key,
    part_of_key,
    identifier_keys,
    version_at,
    known_from,
    available_at,
    usable_at,
    {{ is_withdrawn() }} as is_withdrawn
from record
