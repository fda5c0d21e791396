-- One row per encounter that a hospital's record (FHIR) or its messages (HL7 v2) tell of, with staging's columns. What
-- each is believed for stands in winning_fields. The key is that of the record from when there is one, else the visit.
{%- set declared = winning_fields() -%}
{%- set fields = [] -%}
{%- set told_fields = [] -%}
{%- for group, rule, messengers in declared -%}
    {%- do fields.extend(group) -%}
    {%- do told_fields.extend(group if 'hl7' in messengers else []) -%}
{%- endfor %}
with

fhir as (
    select
        encounter_key,
        source,
        patient_key,
        status,
        class_code,
        priority_code,
        type_code,
        reason_code,
        started_at,
        started_precision,
        case when status = 'finished' then ended_at end as ended_at,
        case when status = 'finished' then ended_precision end as ended_precision,
        admit_source_code,
        discharge_disposition_code,
        cast(null as string) as location_unit,
        location_key,
        organization_key,
        part_of_key,
        known_from,
        available_at,
        usable_at,
        is_withdrawn,
        coalesce(
            not is_withdrawn and status in ('arrived', 'triaged', 'in-progress', 'onleave', 'finished'), false
        ) as is_fact
    from {{ ref('stg_hospital__encounter') }}
),

visit as (
    select * from {{ ref('int_encounter__told') }}
    where status in ('in-progress', 'finished')
),

-- The one record of a visit: of several, one that stands, and rather the whole than a part of it.
numbered as (
    select
        number.source,
        number.visit_key,
        number.encounter_key,
        row_number() over (
            partition by number.source, number.visit_key
            order by fhir.is_withdrawn asc, fhir.part_of_key is not null asc, number.encounter_key asc
        ) as place
    from {{ ref('int_encounter__numbered') }} as number
    inner join fhir
        on number.encounter_key = fhir.encounter_key
),

keyed as (
    select
        visit.*,
        coalesce(numbered.encounter_key, visit.visit_key) as encounter_key,
        row_number() over (
            partition by coalesce(numbered.encounter_key, visit.visit_key)
            order by visit.started_at desc, visit.visit_key asc
        ) as place
    from visit
    left join numbered
        on
            visit.house = numbered.source
            and visit.visit_key = numbered.visit_key
            and numbered.place = 1
),

-- A record with several visit numbers is told by its latest visit.
hl7 as (
    select * from keyed
    where place = 1
),

joined as (
    select
        {{ winners(declared) }}
        {%- for field in told_fields %}
            fhir.{{ field }} as fhir_{{ field }},
        {%- endfor %}
        coalesce(fhir.encounter_key, hl7.encounter_key) as encounter_key,
        coalesce(fhir.source, hl7.house) as source,
        coalesce(fhir.is_withdrawn, false) as is_withdrawn,
        fhir.encounter_key is not null as is_recorded,
        coalesce(fhir.is_fact, false) as is_fact,
        hl7.visit_key,
        fhir.known_from as fhir_known_from,
        fhir.available_at as fhir_available_at,
        fhir.usable_at as fhir_usable_at,
        hl7.known_from as hl7_known_from,
        hl7.available_at as hl7_available_at,
        hl7.usable_at as hl7_usable_at,
        hl7.first_known_at
    from fhir
    full outer join hl7
        on fhir.encounter_key = hl7.encounter_key
),

compared as (
    select
        *,
        visit_key is not null and (
            not is_recorded
            {%- for field in told_fields %}
                or not ({{ field }} <=> fhir_{{ field }})
            {%- endfor %}
        ) as is_added_to
    from joined
)

select
    encounter_key,
    source,
    visit_key,
    {%- for field in fields %}
        {{ field }},
    {%- endfor %}
    is_withdrawn,
    case
        when ended_at is null then null
        when fhir_ended_at is not null then 'fhir'
        else 'hl7'
    end as end_told_by,
    case
        when visit_key is null then 'fhir'
        when is_fact then 'both'
        else 'hl7'
    end as told_by,
    least(coalesce(first_known_at, fhir_available_at), coalesce(fhir_available_at, first_known_at)) as first_known_at,
    {%- for time in ['known_from', 'available_at', 'usable_at'] %}
        case
            when not is_recorded then hl7_{{ time }}
            when is_added_to then greatest(fhir_{{ time }}, hl7_{{ time }})
            else fhir_{{ time }}
        end as {{ time }}{% if not loop.last %},{% endif %}
    {%- endfor %}
from compared
