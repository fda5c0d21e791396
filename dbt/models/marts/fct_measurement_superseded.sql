{{ measurement_facts("select * from " ~ ref('int_observation__superseded'), are_superseded=true) }}
