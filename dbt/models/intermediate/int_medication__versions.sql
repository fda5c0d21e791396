-- All versions. `superseded_at`: when a later version was received; null for the current one.
select
    medication_key,
    code_system,
    code,
    code_display,
    known_from,
    is_withdrawn,
    cast(null as timestamp) as superseded_at
from {{ ref('stg_hospital__medication') }}
union all
select
    medication_key,
    code_system,
    code,
    code_display,
    known_from,
    is_withdrawn,
    superseded_at
from ({{ superseded_versions('medication', since='known_from') }}) as superseded
