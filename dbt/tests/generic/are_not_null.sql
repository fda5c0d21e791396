{#- None of `columns` is null: dbt's own not_null of each, in one look at the table. -#}
{% test are_not_null(model, columns) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    where {{ columns | join(' is null or ') }} is null
{% endtest %}
