{#- The shortest text of a group, of several the first in order. -#}
{% macro shortest(text) -%}
    substring(min(concat(lpad(cast(length({{ text }}) as string), 6, '0'), {{ text }})), 7)
{%- endmacro %}
