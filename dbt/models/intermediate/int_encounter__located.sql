{{ located_encounters("select * from " ~ ref('int_encounter__unified') ~ " where superseded_at is null") }}
