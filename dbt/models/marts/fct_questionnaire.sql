with

form as (
    select form.*
    from {{ ref('stg_wearables__questionnaire') }} as form
    inner join {{ ref('int_participant__consenting') }} as participant
        on form.participant_key = participant.participant_key
    where not form.is_withdrawn
),

patient as (
    select * from {{ ref('int_patient__linked') }}
)

select
    form.questionnaire_key,
    form.source,
    coalesce(patient.person_key, form.participant_key) as person_key,
    form.participant_key as patient_key,
    form.kind as form_code,
    form.answered_at,
    case when form.is_complete then form.total end as total_points,
    form.answered_items,
    form.is_complete,
    coalesce(patient.is_person_current, false) as is_person_resolved,
    form.known_from,
    form.available_at,
    form.usable_at
from form
left join patient
    on form.participant_key = patient.patient_key
