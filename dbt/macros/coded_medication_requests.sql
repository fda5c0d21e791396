{#-
    Requests that count as facts, each with its medication's code: its own, else that of the Medication it points at.
    `request` is a query of staged requests, `medication` one of staged medications.

    are_superseded: both have `superseded_at`, null for current rows; a medication's is when a later version of it was
    received. Rows are requests of which another version, or a later version of their medication, took the place.
    `medication_superseded_at` tells those with another code than today's Medication from the versions of requests.
-#}
{% macro coded_medication_requests(request, medication, are_superseded=false) %}
    with

    request as (
        select *
        from ({{ request }}) as staged
        where
            not is_withdrawn
            and status not in ('draft', 'cancelled')
            and intent not in ('proposal', 'plan', 'option')
            and not coalesce(is_prohibited, false)
    ),

    medication as (
        {{ medication }}
    ),

    joined as (
        select
            request.*,
            medication.medication_key is not null as is_coded_by_reference,
            case when not medication.is_withdrawn then medication.code_system end as referenced_code_system,
            case when not medication.is_withdrawn then medication.code end as referenced_code,
            case when not medication.is_withdrawn then medication.code_display end as referenced_code_display,
            {% if are_superseded %}medication.superseded_at as medication_superseded_at,{% endif %}
            -- A code that came with a later export than the request was not there to be used before.
            case
                when medication.known_from > request.known_from
                    then greatest(request.usable_at, medication.known_from)
                else request.usable_at
            end as coded_usable_at
        from request
        left join medication
            on
                request.medication_key = medication.medication_key
                and request.code is null
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
        authored_precision,
        known_from,
        available_at,
        {% if are_superseded %}
        medication_superseded_at,
        least(
            coalesce(superseded_at, medication_superseded_at), coalesce(medication_superseded_at, superseded_at)
        ) as superseded_at,
        {% endif %}
        case when is_coded_by_reference then referenced_code_system else code_system end as code_system,
        case when is_coded_by_reference then referenced_code else code end as code,
        case when is_coded_by_reference then referenced_code_display else code_display end as code_display,
        coded_usable_at as usable_at
    from joined
    {% if are_superseded %}
    -- An earlier code that nobody can have known together with the request is none of its versions.
    where
        (medication_superseded_at is null and superseded_at is not null)
        or (
            medication_superseded_at > known_from
            and medication_superseded_at > coded_usable_at
            and coalesce(superseded_at > coded_usable_at, true)
        )
    {% endif %}
{% endmacro %}
