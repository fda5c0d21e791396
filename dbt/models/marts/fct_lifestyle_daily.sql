{{
    config(
        partition_by='month',
        meta={
            'fingerprint': [
                'daily_summary_key',
                'content_hash',
                'known_from',
                'available_at',
                'usable_at',
                'person_key',
                'is_person_resolved',
            ],
        },
    )
}}

with

summary as (
    select summary.*
    from {{ ref('stg_wearables__daily_summary') }} as summary
    inner join {{ ref('int_participant__consenting') }} as participant
        on summary.participant_key = participant.participant_key
    where not summary.is_withdrawn
),

patient as (
    select * from {{ ref('int_patient__linked') }}
),

-- Of a person with two accounts, the day that was told last.
ranked as (
    select
        summary.*,
        coalesce(patient.person_key, summary.participant_key) as person_key,
        coalesce(patient.is_person_current, false) as is_person_resolved,
        row_number() over (
            partition by coalesce(patient.person_key, summary.participant_key), summary.summary_date
            order by summary.version_at desc, summary.daily_summary_key asc
        ) as recency
    from summary
    left join patient
        on summary.participant_key = patient.patient_key
)

select
    person_key,
    summary_date as date,
    daily_summary_key,
    source,
    participant_key as patient_key,
    steps,
    active_min,
    exercise_sessions,
    exercise_min,
    sleep_min,
    resting_heart_rate_per_min,
    diet_score,
    fruit_vegetable_servings,
    is_person_resolved,
    known_from,
    available_at,
    usable_at,
    content_hash,
    coalesce(month, 'undated') as month
from ranked
where recency = 1
