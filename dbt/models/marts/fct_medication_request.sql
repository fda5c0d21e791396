{{ medication_request_facts("select * from " ~ ref('int_medication_request__coded')) }}
