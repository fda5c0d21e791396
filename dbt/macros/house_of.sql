{#- The hospital whose patients and visits an endpoint of messages speaks of (`house` in jobs/sources), else itself. -#}
{% macro house_of(source) -%}
    {%- set named -%}
        {%- for endpoint in var('houses') %}
            when '{{ endpoint[0] }}' then '{{ endpoint[1] }}'
        {%- endfor -%}
    {%- endset -%}
    {%- if named | trim %}case {{ source }} {{ named }} else {{ source }} end{% else %}{{ source }}{% endif -%}
{%- endmacro %}
