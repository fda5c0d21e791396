-- What does not look like a code may be free text with a name in it, and does not get here.
select
    source,
    case map
        when 'condition' then 'condition.code'
        when 'substance' then 'medication_request.code'
        when 'vaccine' then 'immunization.code'
        when 'encounter_class' then 'encounter.class_code'
        when 'disposition' then 'encounter.discharge_disposition_code'
        when 'sex' then 'patient.sex'
        else 'observation.code'
    end as field,
    case
        when code_system = '' then null
        when code_system rlike '^[a-zA-Z][a-zA-Z0-9+.-]*:[a-zA-Z0-9:/._#?=%-]{1,200}$' then code_system
        else '(not a code system)'
    end as code_system,
    case
        when code rlike '^[A-Za-z0-9._/-]{1,32}$' and code rlike '[0-9]' then code
        when code rlike '^[A-Z-]{1,8}$' then code
        else '(not a code)'
    end as code,
    sum(record_count) as record_count,
    sum(person_count) as person_count,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at
from {{ ref('int_code__mapped') }}
where concept is null
group by 1, 2, 3, 4
