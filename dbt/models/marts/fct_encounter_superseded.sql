{% set columns -%}
    version.encounter_key,
    version.source,
    version.patient_key,
    version.status,
    version.class_code,
    version.priority_code,
    version.type_code,
    version.reason_code,
    version.started_at,
    version.started_precision,
    version.ended_at,
    version.ended_precision,
    version.admit_source_code,
    version.discharge_disposition_code,
    version.location_key,
    version.organization_key,
    version.part_of_key,
    version.known_from,
    version.available_at,
    version.usable_at,
    version.is_withdrawn
{%- endset %}
{# Versions of the record; and what it says now, until messages add to it. -#}
{% set recorded -%}
    select
        *,
        'fhir' as told_by,
        case when ended_at is not null and status = 'finished' then 'fhir' end as end_told_by,
        cast(null as string) as location_unit,
        available_at as first_known_at
    from (
        select
            {{ columns }},
            cast(null as string) as visit_key,
            'fhir' as superseded_by,
            version.superseded_at
        from ({{ superseded_versions('encounter') }}) as version
        union all
        select
            {{ columns }},
            unified.visit_key,
            'hl7' as superseded_by,
            unified.usable_at as superseded_at
        from {{ ref('stg_hospital__encounter') }} as version
        inner join {{ ref('int_encounter__unified') }} as unified
            on version.encounter_key = unified.encounter_key
        where unified.usable_at > version.usable_at
    ) as recorded
{%- endset %}
{{ encounter_facts(located_encounters(recorded, are_superseded=true), are_superseded=true) }}
