{#- Whether the record that `reference` names is there as `target`; null where none is named. -#}
{% macro is_resolved(reference, target) -%}
    case when {{ reference }} is not null then {{ target }} is not null end
{%- endmacro %}
