with

used as (
    select * from {{ ref('int_medication__used') }}
    where atc_code is not null
),

article as (
    select * from {{ ref('int_article__coded') }}
    where atc_code is not null
),

coded as (
    select
        atc_code,
        max(concept) as concept,
        {{ shortest('name') }} as name,
        array_join(
            array_sort(
                collect_set(case when upper(code) <> atc_code then concat(code_system, '|', code) end)
            ), ','
        ) as other_codes,
        count(distinct source) as sources,
        sum(case when field = 'medication_request.code' then record_count else 0 end) as requests,
        min(first_seen_at) as first_seen_at
    from used
    group by atc_code
),

described as (
    select
        atc_code,
        strength,
        form
    from article
    union
    select
        atc_code,
        strength,
        form
    from {{ ref('fct_dispense') }}
    where atc_code is not null
),

told as (
    select
        atc_code,
        array_join(array_sort(collect_set(strength)), ',') as strengths,
        array_join(array_sort(collect_set(form)), ',') as forms
    from described
    group by atc_code
),

packed as (
    select
        atc_code,
        count(*) as articles,
        max(is_prescription_only) as is_prescription_only
    from article
    where is_current
    group by atc_code
)

select
    coded.atc_code,
    coded.concept,
    coded.name,
    nullif(told.strengths, '') as strengths,
    nullif(told.forms, '') as forms,
    nullif(coded.other_codes, '') as other_codes,
    packed.is_prescription_only,
    cast(coalesce(packed.articles, 0) as int) as articles,
    cast(coded.sources as int) as sources,
    coded.first_seen_at
from coded
left join told
    on coded.atc_code = told.atc_code
left join packed
    on coded.atc_code = packed.atc_code
