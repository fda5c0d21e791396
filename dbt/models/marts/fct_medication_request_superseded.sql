{{
    medication_request_facts(
        coded_medication_requests(superseded_versions('medication_request'), are_superseded=true),
        are_superseded=true
    )
}}
