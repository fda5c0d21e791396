{{
    medication_request_facts(
        coded_medication_requests(
            "select * from " ~ ref('int_medication_request__versions'),
            "select * from " ~ ref('int_medication__versions'),
            are_superseded=true
        ),
        are_superseded=true
    )
}}
