-- Every visit that messages say took place is one encounter, that of its record where there is one: unless the record
-- withdraws it, or is told by a later visit.
with

told as (
    select
        told.visit_key,
        max(numbered.encounter_key is not null) as has_record
    from {{ ref('int_encounter__told') }} as told
    left join {{ ref('int_encounter__numbered') }} as numbered
        on
            told.house = numbered.source
            and told.visit_key = numbered.visit_key
    where told.superseded_at is null and told.status in ('in-progress', 'finished')
    group by told.visit_key
),

fact as (
    select
        visit_key,
        encounter_key
    from {{ ref('fct_encounter') }}
    where told_by in ('hl7', 'both')
)

select
    told.visit_key as told_key,
    fact.visit_key as fact_key,
    fact.encounter_key
from told
full outer join fact
    on told.visit_key = fact.visit_key
where
    told.visit_key is null
    or (not told.has_record and not coalesce(fact.encounter_key = told.visit_key, false))
    or (told.has_record and coalesce(fact.encounter_key = told.visit_key, false))
