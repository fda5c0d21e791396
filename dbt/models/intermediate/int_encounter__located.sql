{{ located_encounters("select * from " ~ ref('stg_hospital__encounter')) }}
