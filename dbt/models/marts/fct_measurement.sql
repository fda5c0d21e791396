{{
    config(
        partition_by='month',
        meta={
            'fingerprint': [
                'observation_key',
                'result_key',
                'content_hash',
                'first_known_at',
                'known_from',
                'available_at',
                'usable_at',
                'person_key',
                'patient_key',
                'encounter_key',
                'is_person_resolved',
                'is_encounter_resolved',
                'component_index',
                'value_canonical',
                'harmonisation',
            ],
        },
    )
}}

{{ measurement_facts("select * from " ~ ref('int_measurement__unified')) }}
