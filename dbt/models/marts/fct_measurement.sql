{{
    config(
        partition_by='month',
        meta={
            'fingerprint': [
                'observation_key',
                'content_hash',
                'known_from',
                'available_at',
                'usable_at',
                'person_key',
                'is_person_resolved',
                'is_encounter_resolved',
            ],
            'fingerprint_where': 'component_index = 0',
        },
    )
}}

{{ measurement_facts("select * from " ~ ref('int_observation__unpivoted')) }}
