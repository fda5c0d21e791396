{#-
    The day of `instant` where the record comes from: in the time zone of its source (jobs/sources). Null where only
    the month or year is known.
-#}
{% macro local_date(instant, precision, source) -%}
    {%- set zoned -%}
        {%- for endpoint in var('time_zones') %}
            when '{{ endpoint[0] }}' then from_utc_timestamp({{ instant }}, '{{ endpoint[1] }}')
        {%- endfor -%}
    {%- endset -%}
    case
        when {{ precision }} in ('second', 'day') then to_date(case {{ source }} {{ zoned }} else {{ instant }} end)
    end
{%- endmacro %}
