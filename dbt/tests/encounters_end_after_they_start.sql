select encounter_key
from {{ ref('fct_encounter') }}
where
    ended_precision = started_precision
    and ended_at < started_at
