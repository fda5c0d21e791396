{{ told_readings("select * from " ~ ref('stg_wearables__home_reading')) }}
