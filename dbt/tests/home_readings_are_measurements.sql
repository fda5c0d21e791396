-- Every reading at home of a person who consents is a measurement or held back, and nobody else's is.
with

reading as (
    select reading.home_reading_key
    from {{ ref('stg_wearables__home_reading') }} as reading
    inner join {{ ref('int_participant__consenting') }} as participant
        on reading.participant_key = participant.participant_key
    where not reading.is_withdrawn
),

published as (
    select observation_key
    from {{ ref('fct_measurement') }}
    where told_by = 'wearables'
    union
    select observation_key
    from {{ ref('suspects') }}
    where is_current and verdict = 'suspect' and resource_type = 'HomeReading'
)

select
    reading.home_reading_key,
    published.observation_key
from reading
full outer join published
    on reading.home_reading_key = published.observation_key
where reading.home_reading_key is null or published.observation_key is null
