{#-
    The versions of an entity's records that a later one superseded, with the columns of its staging model and
    `superseded_at`: the earliest instant at which features may use a later version. (A late record can follow in
    order, and yet be known first.) `since` is the column that says from when a version counts, `of` the entity's source.
-#}
{% macro superseded_versions(entity, since='usable_at', of='hospital') %}
    select
        *,
        {{ is_withdrawn() }} as is_withdrawn
    from (
        select
            *,
            min({{ since }}) over (
                partition by source, {{ entity }}_key
                order by {{ var('version_order') }}
                rows between 1 following and unbounded following
            ) as superseded_at
        from {{ source('silver', of ~ '__' ~ entity ~ '_revised') }}
    ) as version
    where superseded_at is not null
{% endmacro %}
