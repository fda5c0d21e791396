select encounter_key
from {{ ref('fct_encounter') }}
where
    ended_date < started_date
    or (ended_precision = started_precision and ended_at < started_at)
