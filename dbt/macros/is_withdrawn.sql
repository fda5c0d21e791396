{#- The record was deleted at its source, or its source says that it should never have been there. -#}
{% macro is_withdrawn() -%}
    coalesce(is_deleted, false) or coalesce(is_entered_in_error, false)
{%- endmacro %}
