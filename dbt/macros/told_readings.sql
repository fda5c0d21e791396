{#-
    Readings of devices at home, of people who consent now, with the columns of int_observation__unpivoted and who tells
    them. `reading` is a query of rows of stg_wearables__home_reading. A blood pressure is a panel of two, as a
    hospital's is. Codes are the platform's own names, which are aliases of concepts (jobs/harmonise/analytes.yml).
-#}
{% macro told_readings(reading, are_superseded=false) %}
    with

    reading as (
        select
            told.*,
            told.kind = 'blood_pressure' as is_panel
        from ({{ reading }}) as told
        inner join {{ ref('int_participant__consenting') }} as participant
            on told.participant_key = participant.participant_key
        where not told.is_withdrawn
    ),

    part as (
        select
            reading.*,
            exploded.component_index,
            case
                when not reading.is_panel then reading.value
                when exploded.component_index = 1 then cast(reading.systolic_mmhg as double)
                when exploded.component_index = 2 then cast(reading.diastolic_mmhg as double)
            end as number
        from reading
            lateral view explode(case when is_panel then array(0, 1, 2) else array(0) end) exploded as component_index
    )

    select
        component_index,
        home_reading_key as observation_key,
        source,
        participant_key as patient_key,
        cast(null as string) as encounter_key,
        'final' as status,
        case when kind = 'glucose' then 'laboratory' else 'vital-signs' end as category_code,
        measured_at as effective_at,
        'second' as effective_precision,
        cast(null as timestamp) as effective_end_at,
        cast(null as string) as effective_end_precision,
        synced_at as issued_at,
        known_from,
        available_at,
        usable_at,
        {% if are_superseded %}superseded_at,{% endif %}
        content_hash,
        month,
        cast(null as string) as code_system,
        case component_index when 1 then 'systolic' when 2 then 'diastolic' else kind end as code,
        cast(null as string) as code_display,
        case when number is null then 'none' else 'quantity' end as value_type,
        number as value_number,
        cast(null as string) as value_text,
        cast(null as string) as value_comparator,
        case when number is not null then unit end as unit,
        cast(null as string) as value_code_system,
        cast(null as string) as value_code,
        cast(null as string) as value_display,
        cast(null as boolean) as value_boolean,
        cast(null as double) as value_low,
        cast(null as double) as value_high,
        cast(null as double) as value_denominator,
        cast(null as string) as value_denominator_unit,
        cast(null as string) as interpretation_code,
        cast(null as string) as data_absent_reason,
        'wearables' as told_by,
        cast(null as string) as visit_key
    from part
{% endmacro %}
