{#-
    Great-circle distance of two points in degrees (haversine; mean radius of the Earth 6371.0088 km, IUGG).
-#}
{% macro distance_km(longitude, latitude, other_longitude, other_latitude) -%}
    2 * 6371.0088D * asin(least(1D, sqrt(
        power(sin(radians({{ other_latitude }} - {{ latitude }}) / 2), 2)
        + cos(radians({{ latitude }})) * cos(radians({{ other_latitude }}))
        * power(sin(radians({{ other_longitude }} - {{ longitude }}) / 2), 2)
    )))
{%- endmacro %}
