{#-
    What the messages of a group, in their order (`place`), last said: a message that leaves the value out says nothing,
    one that names it in `nulled` takes it back. `is_taken_back`: when else a message does so.
-#}
{% macro last_told(value, name, is_taken_back='false') -%}
    max_by(
        {{ value }},
        case
            when {{ value }} is not null or {{ is_taken_back }} or coalesce(array_contains(nulled, '{{ name }}'), false)
                then place
        end
    )
{%- endmacro %}
