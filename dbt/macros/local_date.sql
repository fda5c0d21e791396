{#-
    The day of `instant` where the record comes from: in the time zone of its source (jobs/sources). Null where only
    the month or year is known.
-#}
{% macro local_date(instant, precision, source) -%}
    case
        when {{ precision }} in ('second', 'hour', 'day') then {{ first_local_date(instant, source) }}
    end
{%- endmacro %}

{#- As local_date; of a month or year its first day. -#}
{% macro first_local_date(instant, source) -%}
    {%- set zoned -%}
        {%- for endpoint in var('time_zones') %}
            when '{{ endpoint[0] }}' then from_utc_timestamp({{ instant }}, '{{ endpoint[1] }}')
        {%- endfor -%}
    {%- endset -%}
    to_date(case {{ source }} {{ zoned }} else {{ instant }} end)
{%- endmacro %}

{#- As local_date; of a month or year its last day. -#}
{% macro last_local_date(instant, precision, source) -%}
    case {{ precision }}
        when 'year' then make_date(year({{ first_local_date(instant, source) }}), 12, 31)
        when 'month' then last_day({{ first_local_date(instant, source) }})
        else {{ first_local_date(instant, source) }}
    end
{%- endmacro %}
