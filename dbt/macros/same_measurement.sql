{#-
    When a result that messages tell and an observation of a hospital's record are one measurement: these columns are equal
    in a version of each. This is the one place where it is declared. Of what is one, the record wins with all its fields;
    messages give it `result_key`, `told_by` and `first_known_at`.

    Columns of rows of `measured`; null where that cannot be compared: a time that is not precise to the second, no value,
    a text. A value is compared in its concept's unit, whatever unit it is sent in; one whose unit is not known, as it
    is written.
-#}
{% macro same_measurement() -%}
    patient_key,
    case when effective_precision = 'second' then date_trunc('second', effective_at) end as effective_second,
    coalesce(concept, concat(coalesce(code_system, ''), '|', code)) as analyte,
    case
        when value_type = 'ratio'
            then concat(
                'ratio ',
                coalesce(value_comparator, ''),
                cast(value_number as string),
                ':',
                cast(value_denominator as string)
            )
        when value_type = 'range' then concat('range ', cast(value_low as string), '-', cast(value_high as string))
        when value_as_sent is not null
            then concat(coalesce(value_comparator, ''), cast(round(value_as_sent, 6) as string))
        when value_type in ('quantity', 'integer')
            then concat(
                coalesce(value_comparator, ''), cast(value_number as string), ' ', lower(trim(coalesce(unit, '')))
            )
        when value_code is not null then concat('code ', value_code)
    end as said
{%- endmacro %}
