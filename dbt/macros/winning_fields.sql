{#-
    Which messenger is believed where both tell of one encounter. This is the one place where it is declared.

    A group of fields wins together: the first messenger in its row that tells the group's first field gives them all.
    `furthest`: the messenger whose status has come further gives it, the first in the row where both are as far; what
    a hospital's record withdraws stays withdrawn (`encounter_progress`). An end counts of a messenger that says that
    the encounter is over.
-#}
{% macro winning_fields() %}
    {{ return([
        (['status'], 'furthest', ['fhir', 'hl7']),
        (['patient_key'], 'first', ['fhir', 'hl7']),
        (['class_code'], 'first', ['fhir', 'hl7']),
        (['priority_code'], 'first', ['fhir', 'hl7']),
        (['type_code'], 'first', ['fhir']),
        (['reason_code'], 'first', ['fhir', 'hl7']),
        (['started_at', 'started_precision'], 'first', ['fhir', 'hl7']),
        (['ended_at', 'ended_precision'], 'first', ['fhir', 'hl7']),
        (['admit_source_code'], 'first', ['fhir', 'hl7']),
        (['discharge_disposition_code'], 'first', ['fhir', 'hl7']),
        (['location_unit'], 'first', ['hl7']),
        (['location_key'], 'first', ['fhir']),
        (['organization_key'], 'first', ['fhir']),
        (['part_of_key'], 'first', ['fhir']),
    ]) }}
{% endmacro %}

{#- How far an encounter has come by a status; what was withdrawn is furthest, and no status at all is nowhere. -#}
{% macro encounter_progress(status) -%}
    case {{ status }}
        when 'planned' then 1
        when 'arrived' then 2
        when 'triaged' then 3
        when 'in-progress' then 4
        when 'onleave' then 4
        when 'finished' then 5
        when 'cancelled' then 6
        when 'entered-in-error' then 6
        else 0
    end
{%- endmacro %}

{#- The winner of each field of `table` (winning_fields()); `fhir` and `hl7` are the relations that tell. -#}
{% macro winners(table) -%}
    {%- for fields, rule, messengers in table -%}
        {%- for field in fields -%}
            {%- if messengers | length == 1 %}
    {{ messengers[0] }}.{{ field }},
            {%- elif rule == 'furthest' %}
    case
        when
            {{ encounter_progress(messengers[1] ~ '.' ~ fields[0]) }}
            > {{ encounter_progress(messengers[0] ~ '.' ~ fields[0]) }}
            then {{ messengers[1] }}.{{ field }}
        else {{ messengers[0] }}.{{ field }}
    end as {{ field }},
            {%- else %}
    case
        when {{ messengers[0] }}.{{ fields[0] }} is not null then {{ messengers[0] }}.{{ field }}
        else {{ messengers[1] }}.{{ field }}
    end as {{ field }},
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}
