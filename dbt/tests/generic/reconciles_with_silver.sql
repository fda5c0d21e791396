{#-
    Every record of a silver table is a fact here, is withdrawn, or is excluded by name; and every fact is such a
    record. `excluded` is a condition on the silver table, `withheld` a table of records held back, `counted` a condition
    on the rows here. `source_name`: whose table it is.
-#}
{% test reconciles_with_silver(model, entity, excluded, withheld=none, counted='true', source_name='hospital') %}
    with

    expected as (
        select {{ entity }}_key as record_key
        from {{ source('silver', source_name ~ '__' ~ entity) }}
        where
            not is_deleted
            and not is_entered_in_error
            and coalesce(not ({{ excluded }}), true)
    ),

    published as (
        select distinct {{ entity }}_key as record_key
        from {{ model }}
        where {{ counted }}
        union
        select {{ entity }}_key as record_key
        from {{ withheld or model }}
        where
            {{ "is_current and verdict = 'suspect' and resource_type = 'Observation'" if withheld else 'false' }}
    )

    select
        expected.record_key as expected_key,
        published.record_key as published_key
    from expected
    full outer join published
        on expected.record_key = published.record_key
    where expected.record_key is null or published.record_key is null
{% endtest %}
