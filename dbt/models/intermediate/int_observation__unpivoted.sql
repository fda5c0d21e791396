{{ unpivoted_observations("select * from " ~ ref('stg_hospital__observation')) }}
