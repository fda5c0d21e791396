{#-
    A record has as many rows here as it had versions before its current one, those aside that are no facts.
    `excluded` is a condition on the silver table, `counted` one on the rows here, `told` another, `withheld` a table
    of versions held back.
-#}
{% test reconciles_with_history(model, entity, excluded, counted='true', told='true', withheld=none) %}
    with

    version as (
        select {{ entity }}_key as record_key, 1 as version_count
        from {{ source('silver', 'hospital__' ~ entity ~ '_revised') }}
        where not is_deleted and not is_entered_in_error and coalesce(not ({{ excluded }}), true)
        union all
        select {{ entity }}_key as record_key, -1 as version_count
        from {{ source('silver', 'hospital__' ~ entity) }}
        where
            not is_deleted and not is_entered_in_error and coalesce(not ({{ excluded }}), true)
            and {{ entity }}_key in (
                select {{ entity }}_key from {{ source('silver', 'hospital__' ~ entity ~ '_revised') }}
            )
        union all
        select {{ entity }}_key as record_key, -1 as version_count
        from {{ model }}
        where {{ counted }} and {{ told }}
        union all
        select {{ entity }}_key as record_key, {{ '-version_count' if withheld else '0' }} as version_count
        from {{ withheld or model }}
        where
            {{ counted }}
            and {{
                "not is_current and verdict = 'suspect' and resource_type = 'Observation'" if withheld else 'false'
            }}
    )

    select
        record_key,
        sum(version_count) as missing_count
    from version
    group by record_key
    having sum(version_count) <> 0
{% endtest %}
