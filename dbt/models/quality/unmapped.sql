-- What does not look like a code may be free text with a name in it, and does not get here.
with

mapped as (
    select
        source,
        case map
            when 'condition' then 'condition.code'
            when 'vaccine' then 'immunization.code'
            when 'encounter_class' then 'encounter.class_code'
            when 'disposition' then 'encounter.discharge_disposition_code'
            when 'sex' then 'patient.sex'
            else 'observation.code'
        end as field,
        code_system,
        code,
        record_count,
        person_count,
        first_seen_at,
        last_seen_at
    from {{ ref('int_code__mapped') }}
    where concept is null
),

medication as (
    select
        source,
        field,
        code_system,
        code,
        record_count,
        person_count,
        first_seen_at,
        last_seen_at
    from {{ ref('int_medication__used') }}
    where concept is null
),

-- Article numbers that no list of their keeper names.
article as (
    select
        dispense.source,
        'dispense.article_no' as field,
        '' as code_system,
        dispense.article_no as code,
        count(*) as record_count,
        count(distinct dispense.patient_key) as person_count,
        min(dispense.known_from) as first_seen_at,
        max(dispense.known_from) as last_seen_at
    from {{ ref('fct_dispense') }} as dispense
    left anti join {{ ref('dim_article') }} as listed
        on dispense.source = listed.source and dispense.article_no = listed.article_no
    where dispense.article_no is not null
    group by dispense.source, dispense.article_no
),

waiting as (
    select * from mapped
    union all
    select * from medication
    union all
    select * from article
),

shown as (
    select
        source,
        field,
        case
            when code_system = '' then null
            when code_system rlike '^[a-zA-Z][a-zA-Z0-9+.-]*:[a-zA-Z0-9:/._#?=%-]{1,200}$' then code_system
            else '(not a code system)'
        end as code_system,
        case
            when code rlike '^[A-Za-z0-9._/-]{1,32}$' and code rlike '[0-9]' then code
            when code rlike '^[A-Z-]{1,8}$' then code
            else '(not a code)'
        end as code,
        record_count,
        person_count,
        first_seen_at,
        last_seen_at
    from waiting
)

select
    source,
    field,
    code_system,
    code,
    sum(record_count) as record_count,
    sum(person_count) as person_count,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at
from shown
group by source, field, code_system, code
