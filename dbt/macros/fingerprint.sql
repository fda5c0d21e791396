{#- A hash of columns that both engines compute alike. It skips nulls, so whether each is null is hashed too. -#}
{% macro fingerprint(columns) -%}
    {%- set hashed = [] -%}
    {%- for column in columns -%}
        {%- do hashed.extend([column, column ~ ' is null']) -%}
    {%- endfor -%}
    xxhash64({{ hashed | join(', ') }})
{%- endmacro %}
