{#-
    The rows of `relation` with `atc_code`, the ATC code of the fifth level that its `code` in `code_system` stands for,
    and `concept`, our name of that medication; both by the code maps of jobs/harmonise. An ATC code that no map names
    stands for itself, and has no concept.
-#}
{% macro with_atc(relation) -%}
    select
        told.*,
        meaning.concept,
        coalesce(
            medication.atc_code,
            case
                when
                    atc_name.code_system is not null
                    and upper(told.code) rlike '^[A-Z][0-9]{2}[A-Z]{2}[0-9]{2}$'
                    then upper(told.code)
            end
        ) as atc_code
    from {{ relation }} as told
    left join {{ source('rules', 'code_meaning') }} as meaning
        on
            meaning.map = 'medication'
            and told.code_system = meaning.code_system
            and upper(told.code) = meaning.code
    left join {{ source('rules', 'medication') }} as medication
        on meaning.concept = medication.concept
    left join (
        select distinct named.code_system
        from {{ source('rules', 'code_meaning') }} as named
        inner join {{ source('rules', 'medication') }} as known
            on named.code = known.atc_code
        where named.map = 'medication'
    ) as atc_name
        on told.code_system = atc_name.code_system
{%- endmacro %}

{#- The code system of what is written as ATC by agreement, as jobs/harmonise names it. -#}
{% macro atc_system() -%}
    'http://www.whocc.no/atc'
{%- endmacro %}
