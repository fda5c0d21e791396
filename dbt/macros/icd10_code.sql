{#-
    The first of `codings` that is of ICD-10, null where none is. A national modification is one: the URI of each has
    the name in it (icd-10-cm, icd-10-gm).
-#}
{% macro icd10_coding(codings) -%}
    get(filter({{ codings }}, x -> x.code is not null and {{ is_icd10('x.system') }}), 0)
{%- endmacro %}

{% macro icd10_code(codings) -%}
    {{ icd10_coding(codings) }}.code
{%- endmacro %}

{% macro is_icd10(system) -%}
    coalesce({{ system }} like '%icd-10%', false)
{%- endmacro %}
