-- One row per article number of a keeper: its master's, else what its price list tells in words, such as
-- `Ramipril, 5 mg, 30 tablets`. What is sold no more still says what was sold: as it was told last.
with

deleted as (
    select article_key
    from {{ ref('stg_pharmacy__article') }}
    where is_withdrawn
),

version as (
    select
        *,
        row_number() over (partition by source, article_key order by {{ var('version_order') }}) as place,
        count(*) over (partition by source, article_key) as places
    from {{ source('silver', 'pharmacy__article_revised') }}
    where article_no is not null
),

listed as (
    select
        1 as choice,
        source,
        article_no,
        atc_code,
        article_name,
        strength,
        unit,
        pack_size,
        is_prescription_only,
        known_from,
        available_at,
        usable_at,
        version_at as told_at
    from {{ ref('stg_pharmacy__article') }}
    where not is_withdrawn
    union all
    select
        2 as choice,
        version.source,
        version.article_no,
        version.atc_code,
        version.article_name,
        version.strength,
        version.unit,
        version.pack_size,
        version.is_prescription_only,
        version.known_from,
        version.available_at,
        version.usable_at,
        version.version_at as told_at
    from version
    inner join deleted
        on version.article_key = deleted.article_key
    where version.place = version.places
    union all
    select
        3 as choice,
        source,
        article_no,
        atc_code,
        article_name,
        cast(null as string) as strength,
        cast(null as string) as unit,
        cast(null as int) as pack_size,
        cast(null as boolean) as is_prescription_only,
        known_from,
        available_at,
        usable_at,
        cast(first_date as timestamp) as told_at
    from {{ ref('stg_pharmacy__price') }}
    where
        not is_withdrawn
        and article_name is not null
),

chosen as (
    select
        *,
        row_number() over (
            partition by source, article_no order by choice asc, told_at desc, known_from desc, article_name asc
        ) as place
    from listed
    where article_no is not null
),

told as (
    select
        source,
        article_no,
        {{ atc_system() }} as code_system,
        atc_code as code,
        article_name,
        substring_index(article_name, ', ', 1) as name,
        case
            when choice = 3 and article_name rlike '^[^,]+, [0-9][^,]*, [0-9]+ [a-z]+$'
                then substring_index(substring_index(article_name, ', ', 2), ', ', -1)
            else strength
        end as strength,
        case
            when choice = 3 and article_name rlike ', [0-9]+ [a-z]+$' then substring_index(article_name, ' ', -1)
            else unit
        end as unit,
        case
            when choice = 3 and article_name rlike ', [0-9]+ [a-z]+$'
                then try_cast(substring_index(substring_index(article_name, ', ', -1), ' ', 1) as int)
            else pack_size
        end as pack_size,
        is_prescription_only,
        choice <> 2 as is_current,
        known_from,
        available_at,
        usable_at
    from chosen
    where place = 1
),

medicine as (
    {{ with_atc('told') }}
)

select
    medicine.source,
    medicine.article_no,
    medicine.code_system,
    medicine.code,
    medicine.atc_code,
    medicine.concept,
    medicine.article_name,
    medicine.name,
    medicine.strength,
    medicine.unit,
    coalesce(form.concept, medicine.unit) as form,
    medicine.pack_size,
    medicine.is_prescription_only,
    medicine.is_current,
    medicine.known_from,
    medicine.available_at,
    medicine.usable_at
from medicine
left join {{ source('rules', 'code_meaning') }} as form
    on form.map = 'dose_form' and medicine.unit = form.code
