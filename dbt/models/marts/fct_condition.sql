{{ condition_facts("select * from " ~ ref('stg_hospital__condition')) }}
