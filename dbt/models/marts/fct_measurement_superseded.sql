{{
    measurement_facts(
        unpivoted_observations(superseded_versions('observation'), are_superseded=true),
        are_superseded=true
    )
}}
