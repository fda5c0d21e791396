{#-
    The code of FHIR for a code of HL7 v2, which `column` holds; what has no counterpart is left out.

    class: table 0004 to v3 ActCode. priority: 0007 to v3 ActPriority. admit_source: 0023 (UB-92) to FHIR admit-source.
    discharge_disposition: 0112 (UB-92) to FHIR discharge-disposition. result_status: 0085 to FHIR observation-status, of
    results that count: final, corrected, amended and verified ones. section: 0074 to observation-category.
    Sources: HL7 v2.5.1 chapters 3 and 7 and appendix A; https://hl7.org/fhir/R4/valueset-encounter-admit-source.html and
    https://hl7.org/fhir/R4/valueset-encounter-discharge-disposition.html.
-#}
{% macro told_code(column, table) -%}
    {%- set tables = {
        'class': {'I': 'IMP', 'E': 'EMER', 'O': 'AMB', 'R': 'AMB', 'P': 'PRENC'},
        'priority': {'A': 'EM', 'C': 'EL', 'E': 'EM', 'R': 'R', 'U': 'UR'},
        'admit_source': {
            '1': 'gp', '2': 'outp', '4': 'hosp-trans', '5': 'nursing', '6': 'other', '7': 'emd', '8': 'other',
        },
        'discharge_disposition': {
            '01': 'home', '02': 'other-hcf', '03': 'snf', '04': 'long', '05': 'other-hcf', '06': 'home', '07': 'aadvice',
            '08': 'home', '20': 'exp', '40': 'exp', '41': 'exp', '42': 'exp', '50': 'hosp', '51': 'hosp', '62': 'rehab',
            '63': 'long', '65': 'psy',
        },
        'result_status': {
            'F': 'final', 'U': 'final', 'V': 'final', 'C': 'corrected', 'A': 'amended', 'B': 'amended',
        },
        'section': {
            'BG': 'laboratory', 'BLB': 'laboratory', 'CG': 'laboratory', 'CH': 'laboratory', 'CTH': 'laboratory',
            'GE': 'laboratory', 'HM': 'laboratory', 'IMM': 'laboratory', 'LAB': 'laboratory', 'MB': 'laboratory',
            'MCB': 'laboratory', 'MYC': 'laboratory', 'SP': 'laboratory', 'SR': 'laboratory', 'TX': 'laboratory',
            'URN': 'laboratory', 'VR': 'laboratory', 'CT': 'imaging', 'CUS': 'imaging', 'NMR': 'imaging',
            'NMS': 'imaging', 'NRS': 'imaging', 'OUS': 'imaging', 'RAD': 'imaging', 'RUS': 'imaging',
            'VUS': 'imaging', 'XRC': 'imaging',
        },
    } -%}
    case {{ column }}
    {%- for told, code in tables[table].items() %}
        when '{{ told }}' then '{{ code }}'
    {%- endfor %}
    end
{%- endmacro %}
