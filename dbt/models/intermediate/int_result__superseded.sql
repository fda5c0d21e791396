{% set versions -%}
    select
        *,
        {{ house_of('source') }} as house
    from ({{ superseded_versions('result', of='hospital_events') }}) as version
{%- endset %}
{{ told_results(versions, are_superseded=true) }}
