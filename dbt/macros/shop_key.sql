{#- The facility that a pharmacy is: its endpoint and what it calls itself. -#}
{% macro shop_key() -%}
    concat(source, '/', pharmacy_id)
{%- endmacro %}
