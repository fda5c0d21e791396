-- Participants who consent to care now: withdrawn, their values leave gold with the next build.
select distinct participant_key
from {{ ref('stg_wearables__consent') }}
where purpose = 'care' and is_given and not is_withdrawn
