-- Each code in use and the concept it means; null where no map of jobs/harmonise names it. Codes of ICD are named by
-- their beginning: the longest that fits counts.
with

used as (
    select
        *,
        case when map = 'condition' then upper(replace(code, '.', '')) else code end as compared
    from {{ ref('int_code__used') }}
),

meaning as (
    select * from {{ source('rules', 'code_meaning') }}
    union all
    select
        'measurement' as map,
        code_system,
        code,
        concept
    from {{ source('rules', 'measured_code') }}
),

fitting as (
    select
        used.*,
        meaning.concept,
        row_number() over (
            partition by used.map, used.source, used.code_system, used.code
            order by length(meaning.code) desc, meaning.concept asc
        ) as fit
    from used
    left join meaning
        on
            used.map = meaning.map
            and used.code_system = meaning.code_system
            and (
                used.compared = meaning.code
                or (used.map = 'condition' and used.compared like concat(meaning.code, '%'))
            )
)

select
    map,
    source,
    code_system,
    code,
    concept,
    record_count,
    person_count,
    first_seen_at,
    last_seen_at
from fitting
where fit = 1
