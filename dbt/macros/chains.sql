{#-
    Numbers that were given up for others, followed to the end: columns `house`, `number`, `goes_on_as` and `steps`, one
    row for each number on the way. `steps_in` names columns of a relation with one successor for each number of a house.
    A chain that leads back to its beginning ends before it; one of more than five steps is followed for five.
-#}
{% macro chains(steps_in, number, successor) %}
    {%- set steps = range(1, 6) -%}
    select
        house,
        number,
        goes_on_as,
        position + 1 as steps
    from (
        select
            step_1.house,
            step_1.{{ number }} as number,
            array({% for step in steps %}step_{{ step }}.{{ successor }}{{ ', ' if not loop.last }}{% endfor %}) as successors
        from {{ steps_in }} as step_1
        {%- for step in steps[1:] %}
            left join {{ steps_in }} as step_{{ step }}
                on
                    step_{{ step - 1 }}.house = step_{{ step }}.house
                    and step_{{ step - 1 }}.{{ successor }} = step_{{ step }}.{{ number }}
                    and step_1.{{ number }} <> step_{{ step }}.{{ successor }}
        {%- endfor %}
    ) as chain
        lateral view posexplode(array_compact(successors)) way as position, goes_on_as
{% endmacro %}
