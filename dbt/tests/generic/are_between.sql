{#- Each of `columns` is a number from `low` to `high`, both included, or null where none is required. -#}
{% test are_between(model, columns, low, high, are_required=false) %}
    {%- set wrong = [] -%}
    {%- for column in columns -%}
        {%- set is_within = 'not isnan(' ~ column ~ ') and ' ~ column ~ ' between ' ~ low ~ ' and ' ~ high -%}
        {%- do wrong.append('not coalesce(' ~ is_within ~ ', ' ~ (not are_required) ~ ')') -%}
    {%- endfor %}
    select {{ columns | join(', ') }}
    from {{ model }}
    where {{ wrong | join(' or ') }}
{% endtest %}
