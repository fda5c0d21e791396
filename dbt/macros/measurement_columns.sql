{#- The columns of int_observation__unpivoted, of `relation`: what is measured, whoever tells it. -#}
{% macro measurement_columns(relation) -%}
    {%- set columns = [
        'component_index',
        'observation_key',
        'source',
        'patient_key',
        'encounter_key',
        'status',
        'category_code',
        'effective_at',
        'effective_precision',
        'effective_end_at',
        'effective_end_precision',
        'issued_at',
        'known_from',
        'available_at',
        'usable_at',
        'content_hash',
        'month',
        'code_system',
        'code',
        'code_display',
        'value_type',
        'value_number',
        'value_text',
        'value_comparator',
        'unit',
        'value_code_system',
        'value_code',
        'value_display',
        'value_boolean',
        'value_low',
        'value_high',
        'value_denominator',
        'value_denominator_unit',
        'interpretation_code',
        'data_absent_reason',
    ] -%}
    {%- set named = [] -%}
    {%- for column in columns -%}
        {%- do named.append(relation ~ '.' ~ column) -%}
    {%- endfor -%}
    {{ named | join(',\n    ') }},
{%- endmacro %}
