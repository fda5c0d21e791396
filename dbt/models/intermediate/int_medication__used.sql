-- Codes and article numbers of medicines in use, how often each stands where, of how many people, and what it means.
{% set uses = [
    ('medication_request.code', 'int_medication_request__coded', 'code_system', 'code', 'code_display', 'patient_key'),
    (
        'medication_administration.code', 'fct_medication_administration', 'code_system', 'code', 'code_display',
        'patient_key',
    ),
    (
        'prescription.medication_code', 'stg_hospital_events__prescription', 'medication_system', 'medication_code',
        'null', 'patient_key',
    ),
    (
        'dispense.medication_code', 'stg_hospital_events__dispense', 'medication_system', 'medication_code', 'null',
        'patient_key',
    ),
    ('drug_stock.atc_code', 'stg_hospital_resources__drug_stock', atc_system(), 'atc_code', 'article_name', 'null'),
    ('dispense.atc_code', 'stg_pharmacy__dispense', atc_system(), 'atc_code', 'article_name', 'customer_key'),
    ('article.atc_code', 'int_article__coded', 'code_system', 'code', 'name', 'null'),
] %}
with

used as (
    {% for field, model, system, code, display, person in uses %}
        select
            source,
            '{{ field }}' as field,
            coalesce({{ system }}, '') as code_system,
            {{ code }} as code,
            substring_index(cast({{ display }} as string), ', ', 1) as name,
            cast({{ person }} as string) as person,
            known_from
        from {{ ref(model) }}
        where
            {{ code }} is not null
            {% if model.startswith('stg_') %}and not is_withdrawn{% endif %}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

told as (
    select
        source,
        field,
        code_system,
        code,
        {{ shortest('name') }} as name,
        count(*) as record_count,
        count(distinct person) as person_count,
        min(known_from) as first_seen_at,
        max(known_from) as last_seen_at
    from used
    group by source, field, code_system, code
)

{{ with_atc('told') }}
