-- Codes of records that count, how often each stands where, and of how many patients.
{% set uses = [
    ('condition', 'stg_hospital__condition', 'code_system', 'code', 'patient_key'),
    ('vaccine', 'stg_hospital__immunization', 'code_system', 'code', 'patient_key'),
    ('encounter_class', 'stg_hospital__encounter', 'null', 'class_code', 'patient_key'),
    ('disposition', 'stg_hospital__encounter', 'null', 'discharge_disposition_code', 'patient_key'),
    ('sex', 'stg_hospital__patient', 'null', 'sex', 'patient_key'),
    ('measurement', 'int_measurement__told', 'code_system', 'code', 'patient_key'),
] %}
{% for map, model, system, code, person in uses %}
    select
        '{{ map }}' as map,
        source,
        coalesce(cast({{ system }} as string), '') as code_system,
        {{ code }} as code,
        count(*) as record_count,
        count(distinct {{ person }}) as person_count,
        min(known_from) as first_seen_at,
        max(known_from) as last_seen_at
    from {{ ref(model) }}
    where
        {{ code }} is not null
        {% if model.startswith('stg_') %}and not is_withdrawn{% endif %}
    group by source, {% if system != 'null' %}code_system, {% endif %}{{ code }}
    {% if not loop.last %}union all{% endif %}
{% endfor %}
