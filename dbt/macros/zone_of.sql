{#- The time zone of a source (jobs/sources); UTC of one that is not declared. -#}
{% macro zone_of(source) -%}
    {%- set found = namespace(zone='UTC') -%}
    {%- for endpoint in var('time_zones') if endpoint[0] == source -%}
        {%- set found.zone = endpoint[1] -%}
    {%- endfor -%}
    {{ return(found.zone) }}
{%- endmacro %}
