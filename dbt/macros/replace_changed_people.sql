{#-
    The incremental strategy `replace_changed_people`, for tables by person and day that are too large to be computed
    anew for a day's records. Months in which many people changed are replaced, and of the other people who changed all
    rows are.

    `meta.inputs` names a model with a fingerprint (`inputs_fingerprint`) of what the rows of each person and month follow
    from; the rows carry it. So what has changed is told by state, as it is for slices: an interrupted build, which may
    have deleted rows and not yet written their like, is made good by the next. The model's SQL asks changed_people()
    which of its rows are wanted; the strategy reads the same answer.
-#}
{% macro replace_changed_people(source, target) %}
    {%- set changed = changes(target) -%}
    {%- if changed.people -%}
        {%- do run_query('delete from ' ~ target ~ ' where ' ~ among('person_key', changed.people)) -%}
    {%- endif -%}
    {%- if changed.months -%}
        {%- do run_query('delete from ' ~ target ~ ' where ' ~ among('month', changed.months)) -%}
    {%- endif -%}
    {%- if changed.people or changed.months -%}
        insert into table {{ target }}
        select {{ model.columns | join(', ') }}
        from {{ source }}
    {%- else -%}
        select 'nobody changed' as outcome
    {%- endif -%}
{% endmacro %}

{% macro among(column, values) -%}
    {{ column }} in ('{{ values | join("', '") }}')
{%- endmacro %}

{#- The months to replace, and the people whose rows in other months are replaced; none where nothing is built. -#}
{% macro changed_people(many=100) %}
    {%- if flags.WHICH != 'build' -%}
        {%- do return(none) -%}
    {%- endif -%}
    {%- call statement('changed_people') -%}
        create or replace table {{ this }}__changed using delta
        location '{{ var("scratch_dir") }}/{{ this.identifier }}__changed' as
        with changed as (
            select
                coalesce(i.person_key, t.person_key) as person_key,
                coalesce(i.month, t.month) as month
            from {{ ref(config.get('meta').inputs) }} as i
            full outer join (select distinct person_key, month, inputs_fingerprint from {{ this }}) as t
                on i.person_key = t.person_key and i.month = t.month
            where
                i.person_key is null
                or t.person_key is null
                or i.inputs_fingerprint <> t.inputs_fingerprint
        ),

        monthly as (
            select
                month,
                count(*) as changes
            from changed
            group by month
        )

        select distinct
            case when monthly.changes > {{ many }} then monthly.month end as month,
            case when monthly.changes <= {{ many }} then changed.person_key end as person_key
        from changed
        inner join monthly on changed.month = monthly.month
    {%- endcall -%}
    {%- do return(changes(this)) -%}
{% endmacro %}

{#- What changed_people() has written down of `table`. -#}
{% macro changes(table) %}
    {%- set months, people = [], [] -%}
    {%- call statement('changes', fetch_result=True) -%}
        select
            month,
            person_key
        from {{ table }}__changed
        order by month, person_key
    {%- endcall -%}
    {%- for row in load_result('changes')['data'] -%}
        {%- do months.append(row[0]) if row[0] else people.append(row[1]) -%}
    {%- endfor -%}
    {%- do return({'months': months, 'people': people}) -%}
{% endmacro %}
