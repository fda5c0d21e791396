{{
    encounter_facts(
        located_encounters(superseded_versions('encounter'), are_superseded=true),
        are_superseded=true
    )
}}
