{#-
    Results that messages tell (HL7 v2 ORU) and that count as facts, with the columns of int_observation__unpivoted, the
    visit they name and who tells them. `result` is a query of rows of stg_hospital_events__result. Only final and
    corrected ones count: what is preliminary, wrong, deleted or could not be obtained does not. Of two codes the one
    of LOINC is taken.
-#}
{% macro told_results(result, are_superseded=false) %}
    with

    result as (
        select
            *,
            {{ told_code('status', 'result_status') }} as observation_status,
            coalesce(observed_at, collected_at) as told_at,
            case when observed_at is not null then observed_precision else collected_precision end as told_precision,
            case
                when get(codings, 1).system = 'LN' and coalesce(get(codings, 0).system, '') <> 'LN' then get(codings, 1)
                else get(codings, 0)
            end as coding,
            case
                when value_code is not null then 'codeable_concept'
                when value_comparator = '<>' or value_separator in ('+', '.') then 'string_withheld'
                when value_separator in (':', '/') and value_number is not null then 'ratio'
                when value_separator = '-' then 'range'
                when value_number is not null then 'quantity'
                when is_text_withheld then 'string_withheld'
                else 'none'
            end as kind
        from ({{ result }}) as told
        where not is_withdrawn
    ),

    -- The patient whom a number names.
    patient as (
        select * from {{ ref('int_number__told') }}
    )

    select
        0 as component_index,
        result.result_key as observation_key,
        result.house as source,
        coalesce(patient.patient_key, result.patient_key) as patient_key,
        cast(null as string) as encounter_key,
        result.observation_status as status,
        {{ told_code('result.section', 'section') }} as category_code,
        {{ in_house('result.told_at', 'result.told_precision', 'result.source') }} as effective_at,
        result.told_precision as effective_precision,
        cast(null as timestamp) as effective_end_at,
        cast(null as string) as effective_end_precision,
        result.reported_at as issued_at,
        result.known_from,
        result.available_at,
        result.usable_at,
        {% if are_superseded %}result.superseded_at,{% endif %}
        result.content_hash,
        result.month,
        {{ told_system('result.coding.system') }} as code_system,
        result.coding.code,
        cast(null as string) as code_display,
        result.kind as value_type,
        case when result.kind in ('quantity', 'ratio') then result.value_number end as value_number,
        case when result.kind in ('quantity', 'ratio') then result.value_text end as value_text,
        case
            when result.kind in ('quantity', 'ratio') and result.value_comparator <> '=' then result.value_comparator
        end as value_comparator,
        result.unit,
        {{ told_system('result.value_system') }} as value_code_system,
        result.value_code,
        cast(null as string) as value_display,
        cast(null as boolean) as value_boolean,
        case when result.kind = 'range' then result.value_number end as value_low,
        case when result.kind = 'range' then result.value_second_number end as value_high,
        case when result.kind = 'ratio' then result.value_second_number end as value_denominator,
        cast(null as string) as value_denominator_unit,
        get(result.flags, 0) as interpretation_code,
        cast(null as string) as data_absent_reason,
        'hl7' as told_by,
        result.visit_key
    from result
    left join patient
        on
            result.source = patient.source
            and result.patient_key = patient.number_key
    where result.observation_status is not null
{% endmacro %}
