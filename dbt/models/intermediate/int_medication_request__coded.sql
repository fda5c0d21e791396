{{
    coded_medication_requests(
        "select * from " ~ ref('stg_hospital__medication_request'),
        "select * from " ~ ref('stg_hospital__medication')
    )
}}
