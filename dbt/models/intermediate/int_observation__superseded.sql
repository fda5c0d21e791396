{{ unpivoted_observations(superseded_versions('observation'), are_superseded=true) }}
