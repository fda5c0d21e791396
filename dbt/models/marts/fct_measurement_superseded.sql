{{ measurement_facts("select * from " ~ ref('int_measurement__superseded'), are_superseded=true) }}
