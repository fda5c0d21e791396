{#- Where there is a value it is a number from `low` to `high`, both included. -#}
{% test is_between(model, column_name, low, high) %}
    select {{ column_name }}
    from {{ model }}
    where {{ column_name }} is not null and (isnan({{ column_name }}) or {{ column_name }} not between {{ low }} and {{ high }})
{% endtest %}
