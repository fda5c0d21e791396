with

care_plan as (
    select
        *,
        filter(
            activities,
            x -> coalesce(x.status, '') not in ('cancelled', 'entered-in-error')
            and not coalesce(x.is_prohibited, false)
        ) as meant_activities
    from {{ ref('stg_hospital__care_plan') }}
    where
        not is_withdrawn
        and status <> 'draft'
        and intent not in ('proposal', 'option')
),

patient as (
    select * from {{ ref('int_patient__linked') }}
),

encounter as (
    select encounter_key from {{ ref('fct_encounter') }}
),

practitioner as (
    select
        alias_key,
        practitioner_key
    from {{ ref('int_performer__aliased') }}
),

addressed as (
    select
        care_plan_key,
        condition_key
    from care_plan
        lateral view explode(addressed_keys) exploded as condition_key
),

condition as (
    select
        addressed.care_plan_key,
        array_join(array_sort(collect_set(condition.code)), ',') as condition_codes
    from addressed
    inner join {{ ref('fct_condition') }} as condition
        on addressed.condition_key = condition.condition_key
    group by addressed.care_plan_key
)

select
    care_plan.care_plan_key,
    care_plan.source,
    coalesce(patient.person_key, care_plan.patient_key) as person_key,
    care_plan.patient_key,
    care_plan.encounter_key,
    practitioner.practitioner_key,
    care_plan.status,
    care_plan.intent,
    care_plan.category_system,
    care_plan.category_code,
    care_plan.category_display,
    care_plan.started_at,
    care_plan.started_precision,
    care_plan.ended_at,
    care_plan.ended_precision,
    care_plan.created_at,
    care_plan.created_precision,
    condition.condition_codes,
    cast(greatest(coalesce(size(care_plan.addressed_keys), 0), 0) as int) as addressed_count,
    array_join(transform(care_plan.meant_activities, x -> x.code), ',') as activity_codes,
    cast(greatest(coalesce(size(care_plan.meant_activities), 0), 0) as int) as activity_count,
    coalesce(patient.is_person_current, false) as is_person_resolved,
    {{ is_resolved('care_plan.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
    care_plan.known_from,
    care_plan.available_at,
    care_plan.usable_at
from care_plan
left join patient
    on care_plan.patient_key = patient.patient_key
left join encounter
    on care_plan.encounter_key = encounter.encounter_key
left join practitioner
    on care_plan.author_key = practitioner.alias_key
left join condition
    on care_plan.care_plan_key = condition.care_plan_key
