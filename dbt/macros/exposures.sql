{#- Columns of agg_sector_daily that a person is exposed to: doubles first, then those that are whole numbers. -#}
{% macro exposure_columns() -%}
    {{ return([
        'pm2_5_ug_m3', 'pm2_5_coverage', 'pm10_ug_m3', 'pm10_coverage', 'no2_ug_m3', 'no2_coverage',
        'o3_ug_m3', 'o3_max_8h_ug_m3', 'o3_coverage', 'nearest_pm2_5_station_km',
        'temperature_mean_cel', 'temperature_min_cel', 'temperature_max_cel',
        'apparent_temperature_min_cel', 'apparent_temperature_max_cel', 'humidity_pct', 'wind_m_s',
        'precipitation_mm', 'weather_coverage', 'road_vehicles', 'road_coverage',
        'transit_delayed_share', 'transit_cancelled_share', 'outage_minutes_per_customer',
    ]) }}
{%- endmacro %}

{#- Those whose earlier days are published too. -#}
{% macro lagged_exposures() -%}
    {{ return(['pm2_5_ug_m3', 'no2_ug_m3', 'o3_ug_m3', 'temperature_mean_cel']) }}
{%- endmacro %}

{% macro lagged_exposure_columns() -%}
    {%- set columns = [] -%}
    {%- for column in lagged_exposures() -%}
        {%- for suffix in ['lag_1d', 'lag_2d', 'lag_3d', 'mean_7d'] -%}
            {%- do columns.append(column ~ '_' ~ suffix) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{#- Columns of int_place__exposed that a row of fct_exposure_daily is made of. -#}
{% macro exposure_inputs() -%}
    {{ return(
        ['date'] + exposure_columns() + ['heat_warning_level', 'cold_warning_level'] + lagged_exposure_columns()
    ) }}
{%- endmacro %}
