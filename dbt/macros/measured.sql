{#-
    Measurements with the concept that their code means and their value in the concept's unit, both null where no rule
    of jobs/harmonise knows the code or the unit. `measurement` is a query of rows of int_observation__unpivoted.
    A number of a concept without a unit that converts is not lost here: int_measurement__ranged tells of it.
-#}
{% macro measured(measurement) %}
    select
        measurement.*,
        code.concept,
        coalesce(
            code.is_number and measurement.value_number is not null and measurement.value_type in ('quantity', 'integer'),
            false
        ) as is_measured,
        unit.ucum,
        unit.unit_canonical,
        unit.factor,
        unit.addend,
        unit.range_key,
        coalesce(unit.is_banded, false) as is_banded,
        unit.factor * measurement.value_number + unit.addend as value_as_sent
    from ({{ measurement }}) as measurement
    left join {{ source('rules', 'measured_code') }} as code
        on
            measurement.code = code.code
            and coalesce(measurement.code_system, '') = code.code_system
    left join {{ source('rules', 'unit') }} as unit
        on
            code.concept = unit.concept
            and lower(trim(coalesce(measurement.unit, ''))) = unit.form
            and measurement.value_type in ('quantity', 'integer')
{% endmacro %}
