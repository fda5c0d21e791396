-- The visit numbers that an encounter has or had: a deleted one names none any more.
with

encounter as (
    select
        encounter_key,
        source,
        identifier_keys
    from {{ source('silver', 'hospital__encounter') }}
    union all
    select
        encounter_key,
        source,
        identifier_keys
    from {{ source('silver', 'hospital__encounter_revised') }}
)

select distinct
    encounter_key,
    source,
    visit_key
from encounter
    lateral view explode(identifier_keys) exploded as visit_key
