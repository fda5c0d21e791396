{#- Counts the rows whose flag is false: references that point at nothing yet. A warning, never an error. -#}
{% test holds_for_all(model, column_name) %}
    {{ config(severity='warn') }}
    select {{ column_name }}
    from {{ model }}
    where not {{ column_name }}
{% endtest %}
