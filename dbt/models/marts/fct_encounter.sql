{{ encounter_facts("select * from " ~ ref('int_encounter__located')) }}
