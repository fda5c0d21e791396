{{
    config(
        partition_by='month',
        meta={
            'fingerprint': [
                'diagnostic_report_key',
                'content_hash',
                'known_from',
                'available_at',
                'usable_at',
                'person_key',
                'is_person_resolved',
                'is_encounter_resolved',
                'practitioner_key',
                'resolved_result_count',
            ],
        },
    )
}}

with

diagnostic_report as (
    select *
    from {{ ref('stg_hospital__diagnostic_report') }}
    where
        not is_withdrawn
        and status not in ('registered', 'cancelled')
),

patient as (
    select * from {{ ref('int_patient__linked') }}
),

encounter as (
    select encounter_key from {{ ref('fct_encounter') }}
),

performer as (
    select
        numbered.diagnostic_report_key,
        min_by(practitioner.practitioner_key, numbered.position) as practitioner_key
    from (
        select
            diagnostic_report_key,
            position,
            alias_key
        from diagnostic_report
            lateral view posexplode(performer_keys) exploded as position, alias_key
    ) as numbered
    inner join {{ ref('int_performer__aliased') }} as practitioner
        on numbered.alias_key = practitioner.alias_key
    group by numbered.diagnostic_report_key
),

result as (
    select
        diagnostic_report_key,
        count(*) as result_count,
        count(measurement_key) as resolved_result_count
    from {{ ref('fct_diagnostic_report_result') }}
    group by diagnostic_report_key
)

select
    diagnostic_report.diagnostic_report_key,
    diagnostic_report.source,
    coalesce(patient.person_key, diagnostic_report.patient_key) as person_key,
    diagnostic_report.patient_key,
    diagnostic_report.encounter_key,
    performer.practitioner_key,
    diagnostic_report.code_system,
    diagnostic_report.code,
    diagnostic_report.code_display,
    diagnostic_report.category_code,
    diagnostic_report.status,
    diagnostic_report.effective_at,
    diagnostic_report.effective_precision,
    diagnostic_report.effective_end_at,
    diagnostic_report.effective_end_precision,
    diagnostic_report.issued_at,
    diagnostic_report.conclusion_system,
    diagnostic_report.conclusion_code,
    diagnostic_report.conclusion_display,
    cast(coalesce(result.result_count, 0) as int) as result_count,
    cast(coalesce(result.resolved_result_count, 0) as int) as resolved_result_count,
    coalesce(patient.is_person_current, false) as is_person_resolved,
    {{ is_resolved('diagnostic_report.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
    diagnostic_report.known_from,
    diagnostic_report.available_at,
    diagnostic_report.usable_at,
    diagnostic_report.content_hash,
    coalesce(diagnostic_report.month, 'undated') as month
from diagnostic_report
left join patient
    on diagnostic_report.patient_key = patient.patient_key
left join encounter
    on diagnostic_report.encounter_key = encounter.encounter_key
left join performer
    on diagnostic_report.diagnostic_report_key = performer.diagnostic_report_key
left join result
    on diagnostic_report.diagnostic_report_key = result.diagnostic_report_key
