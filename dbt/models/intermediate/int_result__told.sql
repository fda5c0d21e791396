{{ told_results("select * from " ~ ref('stg_hospital_events__result')) }}
