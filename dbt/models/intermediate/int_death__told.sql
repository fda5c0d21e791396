-- One row per patient of whom messages say whether they died (PID-29, PID-30): what they said last. A message that
-- leaves both out says nothing, one that deletes them takes back what was said.
with

message as (
    select
        house,
        admission_key,
        patient_key,
        nulled,
        coalesce(is_deceased, deceased_at is not null) as is_deceased,
        {{ in_house('deceased_at', 'deceased_precision', 'source') }} as deceased_at,
        deceased_precision,
        valid_from,
        version_at,
        known_from,
        available_at,
        usable_at,
        content_hash
    from {{ ref('stg_hospital_events__admission') }}
    where
        not is_withdrawn
        and (
            is_deceased is not null
            or deceased_at is not null
            or array_contains(nulled, 'is_deceased')
            or array_contains(nulled, 'deceased_at')
        )
),

placed as (
    select
        message.nulled,
        message.is_deceased,
        message.deceased_at,
        message.deceased_precision,
        message.version_at,
        message.known_from,
        message.available_at,
        message.usable_at,
        patient.patient_key,
        row_number() over (
            partition by patient.patient_key
            order by message.version_at, message.valid_from, message.content_hash, message.admission_key
        ) as place
    from message
    left join {{ ref('int_number__merged') }} as merged
        on
            message.house = merged.house
            and message.patient_key = merged.prior_patient_key
    inner join {{ ref('int_patient__aliased') }} as patient
        on
            message.house = patient.source
            and coalesce(merged.patient_key, message.patient_key) = patient.alias_key
)

select
    patient_key,
    max_by(is_deceased, place) as is_deceased,
    {{ last_told('deceased_at', 'deceased_at', 'not is_deceased') }} as deceased_at,
    {{ last_told('deceased_precision', 'deceased_at', 'not is_deceased') }} as deceased_precision,
    max(version_at) as version_at,
    max(known_from) as known_from,
    max(available_at) as available_at,
    max(usable_at) as usable_at
from placed
group by patient_key
