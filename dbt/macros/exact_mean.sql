{#-
    Mean of a column to the ten-thousandth of its unit, whatever the order of the rows: sums of doubles depend on it, and
    a value on the edge of being rounded would make a slice look changed.
-#}
{% macro exact_mean(column) -%}
    {{ exact_sum(column) }} / count({{ column }})
{%- endmacro %}

{% macro exact_sum(column) -%}
    sum(cast(round({{ column }} * 10000) as bigint)) / 10000D
{%- endmacro %}
