{#-
    The URI of a code system that HL7 v2 names (table 0396; I10C and I9C are its ICD-10-CM and ICD-9-CM). A sender's own
    is kept apart by the name it gave. Source: https://terminology.hl7.org/CodeSystem-v2-0396.html.
-#}
{% macro told_system(column) -%}
    {%- set systems = {
        'LN': 'http://loinc.org',
        'SCT': 'http://snomed.info/sct',
        'UCUM': 'http://unitsofmeasure.org',
        'I10': 'http://hl7.org/fhir/sid/icd-10',
        'I10C': 'http://hl7.org/fhir/sid/icd-10-cm',
        'I9C': 'http://hl7.org/fhir/sid/icd-9-cm',
        'ATC': 'http://www.whocc.no/atc',
        'CVX': 'http://hl7.org/fhir/sid/cvx',
    } -%}
    case {{ column }}
    {%- for told, system in systems.items() %}
        when '{{ told }}' then '{{ system }}'
    {%- endfor %}
        else concat('urn:hl7v2:', {{ column }})
    end
{%- endmacro %}
