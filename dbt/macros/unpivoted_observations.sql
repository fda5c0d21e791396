{#-
    Observations that count as facts, and their components. `observation` is a query of staged observations.
    are_withdrawn_kept: with those that are withdrawn.
-#}
{% macro unpivoted_observations(observation, are_superseded=false, are_withdrawn_kept=false) %}
    with

    observation as (
        select *
        from ({{ observation }}) as staged
        where
            (not is_withdrawn or {{ 'true' if are_withdrawn_kept else 'false' }})
            and status not in ('registered', 'cancelled')
    ),

    -- A panel is a row too, even one that carries nothing but its components.
    whole as (
        select
            0 as component_index,
            observation_key,
            source,
            patient_key,
            encounter_key,
            status,
            category_code,
            effective_at,
            effective_precision,
            effective_end_at,
            effective_end_precision,
            issued_at,
            known_from,
            available_at,
            usable_at,
            {% if are_superseded %}superseded_at,{% endif %}
            is_withdrawn,
            content_hash,
            month,
            code_system,
            code,
            code_display,
            value_type,
            value_number,
            value_text,
            value_comparator,
            unit,
            value_code_system,
            value_code,
            value_display,
            value_boolean,
            value_low,
            value_high,
            value_denominator,
            value_denominator_unit,
            interpretation_code,
            data_absent_reason
        from observation
    ),

    component as (
        select
            exploded.position + 1 as component_index,
            observation.observation_key,
            observation.source,
            observation.patient_key,
            observation.encounter_key,
            observation.status,
            observation.category_code,
            observation.effective_at,
            observation.effective_precision,
            observation.effective_end_at,
            observation.effective_end_precision,
            observation.issued_at,
            observation.known_from,
            observation.available_at,
            observation.usable_at,
            {% if are_superseded %}observation.superseded_at,{% endif %}
            observation.is_withdrawn,
            observation.content_hash,
            observation.month,
            exploded.component.code_system,
            exploded.component.code,
            exploded.component.code_display,
            exploded.component.value_type,
            exploded.component.value_number,
            exploded.component.value_text,
            exploded.component.value_comparator,
            exploded.component.unit,
            exploded.component.value_code_system,
            exploded.component.value_code,
            exploded.component.value_display,
            exploded.component.value_boolean,
            exploded.component.value_low,
            exploded.component.value_high,
            exploded.component.value_denominator,
            exploded.component.value_denominator_unit,
            exploded.component.interpretation_code,
            exploded.component.data_absent_reason
        from observation
            lateral view posexplode(components) exploded as position, component
    )

    select * from whole
    union all
    select * from component
{% endmacro %}
