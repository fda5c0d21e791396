-- As many arrivals and admissions as there are trees: encounters less the pairs of which one is part of the other.
with

counted as (
    select
        coalesce(sum(arrivals), 0) as arrivals,
        coalesce(sum(admissions), 0) as admissions
    from {{ ref('agg_facility_daily') }}
),

encounter as (
    select
        encounter_key,
        part_of_key,
        class_code in ('IMP', 'ACUTE', 'NONAC') as is_stay
    from {{ ref('fct_encounter') }}
    where
        facility_key is not null
        and class_code in ('EMER', 'IMP', 'ACUTE', 'NONAC')
        and started_precision in ('second', 'day')
        and started_at <= known_from
),

link as (
    select
        part.encounter_key as part_key,
        whole.encounter_key as whole_key,
        part.is_stay as is_part_stay,
        whole.is_stay as is_whole_stay
    from encounter as part
    inner join encounter as whole
        on part.part_of_key = whole.encounter_key
    where part.encounter_key <> whole.encounter_key
),

stay_link as (
    select
        part_key,
        whole_key
    from link
    where is_part_stay and is_whole_stay
    union all
    select
        lower.part_key,
        upper.whole_key
    from link as lower
    inner join link as upper
        on lower.whole_key = upper.part_key
    where lower.is_part_stay and not lower.is_whole_stay and upper.is_whole_stay and lower.part_key <> upper.whole_key
),

arrival_pair as (
    select distinct
        least(part_key, whole_key) as one_key,
        greatest(part_key, whole_key) as other_key
    from link
),

admission_pair as (
    select distinct
        least(part_key, whole_key) as one_key,
        greatest(part_key, whole_key) as other_key
    from stay_link
),

tally as (
    select
        1 as arrivals,
        case when is_stay then 1 else 0 end as admissions
    from encounter
    union all
    select
        -1 as arrivals,
        0 as admissions
    from arrival_pair
    union all
    select
        0 as arrivals,
        -1 as admissions
    from admission_pair
),

expected as (
    select
        coalesce(sum(arrivals), 0) as arrivals,
        coalesce(sum(admissions), 0) as admissions
    from tally
)

select
    counted.arrivals,
    expected.arrivals as expected_arrivals,
    counted.admissions,
    expected.admissions as expected_admissions
from counted
cross join expected
where
    counted.arrivals <> expected.arrivals
    or counted.admissions <> expected.admissions
