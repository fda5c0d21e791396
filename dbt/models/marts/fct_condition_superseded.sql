{{
    condition_facts(
        superseded_versions('condition'),
        are_superseded=true
    )
}}
