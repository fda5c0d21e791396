{#-
    The day in the city's time zone that `instant` falls on: the zone of the housing register, which says where people
    live. What is exposed is counted by the day people live, whatever zone a station's owner writes in.
-#}
{% macro city_date(instant) -%}
    to_date(from_utc_timestamp({{ instant }}, '{{ city_zone() }}'))
{%- endmacro %}

{#- The instant at which `date` begins in the city. -#}
{% macro city_midnight(date) -%}
    to_utc_timestamp(cast({{ date }} as timestamp), '{{ city_zone() }}')
{%- endmacro %}

{% macro city_zone() -%}
    {{ zone_of('housing_city') }}
{%- endmacro %}
