-- The encounter of each visit number: the one its messages tell, else the record that has the number.
with

named as (
    select
        visit_key,
        encounter_key,
        true as is_told
    from {{ ref('fct_encounter') }}
    where visit_key is not null
    union all
    select
        numbered.visit_key,
        numbered.encounter_key,
        false as is_told
    from {{ ref('int_encounter__numbered') }} as numbered
    inner join {{ ref('fct_encounter') }} as encounter
        on numbered.encounter_key = encounter.encounter_key
)

select
    visit_key,
    coalesce(min(case when is_told then encounter_key end), min(encounter_key)) as encounter_key
from named
group by visit_key
