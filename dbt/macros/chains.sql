{#-
    Numbers that were given up for others, followed to the end: columns `house`, `number`, `goes_on_as` and `steps`, one
    row for each number on the way. `steps_in` names columns of a relation with one successor for each number of a house.
    A chain that leads back to its beginning ends before it; one of more than five steps is followed for five.
-#}
{% macro chains(steps_in, number, successor) %}
    {%- for length in range(1, 6) -%}
        {{ 'union all' if not loop.first }}
        select
            step_1.house,
            step_1.{{ number }} as number,
            step_{{ length }}.{{ successor }} as goes_on_as,
            {{ length }} as steps
        from {{ steps_in }} as step_1
        {%- for behind in range(2, length + 1) %}
            inner join {{ steps_in }} as step_{{ behind }}
                on
                    step_{{ behind - 1 }}.house = step_{{ behind }}.house
                    and step_{{ behind - 1 }}.{{ successor }} = step_{{ behind }}.{{ number }}
                    and step_1.{{ number }} <> step_{{ behind }}.{{ successor }}
        {%- endfor %}
    {% endfor %}
{% endmacro %}
