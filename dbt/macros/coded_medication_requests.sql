{#- Requests that count as facts, each with its medication's code. `request` is a query of staged requests. -#}
{% macro coded_medication_requests(request, are_superseded=false) %}
    with

    request as (
        select *
        from ({{ request }}) as staged
        where
            not is_withdrawn
            and status not in ('draft', 'cancelled')
            and intent not in ('proposal', 'plan', 'option')
    ),

    medication as (
        select *
        from {{ ref('stg_hospital__medication') }}
        where not is_withdrawn
    ),

    joined as (
        select
            request.*,
            request.code is null and medication.code is not null as is_coded_by_reference,
            medication.code_system as referenced_code_system,
            medication.code as referenced_code,
            medication.code_display as referenced_code_display,
            medication.known_from as medication_known_from
        from request
        left join medication
            on request.medication_key = medication.medication_key
    )

    select
        medication_request_key,
        source,
        patient_key,
        encounter_key,
        medication_key,
        status,
        intent,
        authored_at,
        known_from,
        available_at,
        {% if are_superseded %}superseded_at,{% endif %}
        case when is_coded_by_reference then referenced_code_system else code_system end as code_system,
        case when is_coded_by_reference then referenced_code else code end as code,
        case when is_coded_by_reference then referenced_code_display else code_display end as code_display,
        -- A code that came with a later export than the request was not there to be used before.
        case
            when is_coded_by_reference and medication_known_from > known_from
                then greatest(usable_at, medication_known_from)
            else usable_at
        end as usable_at
    from joined
{% endmacro %}
