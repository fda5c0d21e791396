{#-
    Encounters that count as facts, each with its facility. `encounter` is a query with the columns of
    int_encounter__unified.

    An end before the start is none. A partial date may mean any instant of its period: beside one it is days that are
    compared, the last that the end may mean with the first of the start.
-#}
{% macro located_encounters(encounter, are_superseded=false) %}
    with

    encounter as (
        {{ encounter }}
    ),

    organization as (
        select
            alias_key,
            organization_key
        from {{ ref('int_organization__aliased') }}
    ),

    location as (
        select
            alias_key,
            organization_key
        from {{ ref('int_location__aliased') }}
    ),

    counted as (
        select
            *,
            status = 'finished' and not coalesce(
                case
                    when started_precision = 'second' and ended_precision = 'second' then ended_at < started_at
                    else
                        {{ last_local_date('ended_at', 'ended_precision', 'source') }}
                        < {{ first_local_date('started_at', 'source') }}
                end,
                false
            ) as has_end
        from encounter
        where
            not is_withdrawn
            and status in ('arrived', 'triaged', 'in-progress', 'onleave', 'finished')
    )

    select
        counted.encounter_key,
        counted.source,
        counted.patient_key,
        counted.part_of_key,
        counted.status,
        counted.class_code,
        counted.priority_code,
        counted.type_code,
        counted.reason_code,
        counted.started_at,
        counted.started_precision,
        counted.admit_source_code,
        counted.discharge_disposition_code,
        counted.known_from,
        counted.available_at,
        counted.usable_at,
        counted.visit_key,
        counted.told_by,
        counted.location_unit,
        counted.first_known_at,
        {% if are_superseded %}counted.superseded_at, counted.superseded_by,{% endif %}
        case
            when counted.organization_key is not null
                then coalesce(organization.organization_key, counted.organization_key)
            else location.organization_key
        end as facility_key,
        case when counted.has_end then counted.ended_at end as ended_at,
        case when counted.has_end then counted.ended_precision end as ended_precision,
        case when counted.has_end then counted.end_told_by end as end_told_by
    from counted
    left join organization
        on counted.organization_key = organization.alias_key
    left join location
        on counted.location_key = location.alias_key
{% endmacro %}
