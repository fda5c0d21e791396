{#- The hospital whose patients and visits an endpoint of messages speaks of (`house` in jobs/sources), else itself. -#}
{% macro house_of(source) -%}
    {%- set named -%}
        {%- for endpoint in var('houses') %}
            when '{{ endpoint[0] }}' then '{{ endpoint[1] }}'
        {%- endfor -%}
    {%- endset -%}
    {%- if named | trim %}case {{ source }} {{ named }} else {{ source }} end{% else %}{{ source }}{% endif -%}
{%- endmacro %}

{#-
    An instant as the house of an endpoint of messages would tell it: a partial date, which stands at a midnight of the
    endpoint's time zone, at that of the house's (jobs/sources).
-#}
{% macro in_house(instant, precision, source) -%}
    {%- set moved -%}
        {%- for endpoint in var('houses') if zone_of(endpoint[0]) != zone_of(endpoint[1]) %}
            when '{{ endpoint[0] }}'
                then to_utc_timestamp(
                    from_utc_timestamp({{ instant }}, '{{ zone_of(endpoint[0]) }}'), '{{ zone_of(endpoint[1]) }}'
                )
        {%- endfor -%}
    {%- endset -%}
    {%- if moved | trim -%}
        case
            when {{ precision }} in ('second', 'hour') then {{ instant }}
            else case {{ source }} {{ moved }} else {{ instant }} end
        end
    {%- else -%}
        {{ instant }}
    {%- endif -%}
{%- endmacro %}
