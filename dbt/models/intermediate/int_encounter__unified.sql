-- Encounters that a hospital's record (FHIR) or its messages (HL7 v2) tell of, with staging's columns; `superseded_at`
-- is null in what is told now. A recorded one has a row for each span in which neither the record nor what messages
-- tell of its visit changed; one that is not, a single row. What each is believed for stands in winning_fields. The key
-- is that of the record from when there is one, else the visit.
{%- set declared = winning_fields() -%}
{%- set fields = [] -%}
{%- set told_fields = [] -%}
{%- for group, rule, messengers in declared -%}
    {%- do fields.extend(group) -%}
    {%- do told_fields.extend(group if 'hl7' in messengers else []) -%}
{%- endfor %}
{%- set columns -%}
    encounter_key,
    source,
    patient_key,
    status,
    class_code,
    priority_code,
    type_code,
    {{ icd10_code('reason_codings') }} as reason_code,
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
{%- endset %}
with

fhir as (
    select
        {{ columns }},
        cast(null as timestamp) as superseded_at
    from {{ ref('stg_hospital__encounter') }}
    union all
    select
        {{ columns }},
        superseded_at
    from ({{ superseded_versions('encounter') }}) as superseded
),

-- The visits that are believed to have taken place, by all that messages say now.
visit as (
    select *
    from (
        select
            *,
            max(case when superseded_at is null then status end) over (partition by house, visit_key) as last_status,
            max(case when superseded_at is null then started_at end) over (
                partition by house, visit_key
            ) as last_started_at
        from {{ ref('int_encounter__told') }}
    ) as told
    where last_status in ('in-progress', 'finished')
),

-- The one record of a visit: of several, one that stands, and rather the whole than a part of it.
numbered as (
    select
        number.source,
        number.visit_key,
        number.encounter_key,
        row_number() over (
            partition by number.source, number.visit_key
            order by record.is_withdrawn asc, record.part_of_key is not null asc, number.encounter_key asc
        ) as place
    from {{ ref('int_encounter__numbered') }} as number
    inner join {{ ref('stg_hospital__encounter') }} as record
        on number.encounter_key = record.encounter_key
),

keyed as (
    select
        visit.*,
        coalesce(numbered.encounter_key, visit.visit_key) as encounter_key,
        numbered.encounter_key is not null as has_record,
        dense_rank() over (
            partition by coalesce(numbered.encounter_key, visit.visit_key)
            order by visit.last_started_at desc, visit.visit_key asc, visit.house asc
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
    select
        encounter_key,
        has_record,
        house,
        usable_at,
        superseded_at,
        {%- for field in told_fields + ['visit_key', 'first_known_at', 'known_from', 'available_at'] %}
            case when status in ('in-progress', 'finished') then {{ field }} end as {{ field }}
            {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from keyed
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
        hl7.known_from as hl7_known_from,
        hl7.available_at as hl7_available_at,
        hl7.first_known_at,
        greatest(
            coalesce(fhir.usable_at, hl7.usable_at), coalesce(hl7.usable_at, fhir.usable_at)
        ) as usable_at,
        least(
            coalesce(fhir.superseded_at, hl7.superseded_at), coalesce(hl7.superseded_at, fhir.superseded_at)
        ) as superseded_at,
        case
            when coalesce(hl7.superseded_at < fhir.superseded_at, fhir.superseded_at is null) then 'hl7'
            else 'fhir'
        end as superseded_by
    from fhir
    full outer join hl7
        on
            fhir.encounter_key = hl7.encounter_key
            and coalesce(fhir.superseded_at > hl7.usable_at, true)
            and coalesce(fhir.usable_at < hl7.superseded_at, true)
    where
        fhir.encounter_key is not null
        or (not hl7.has_record and hl7.superseded_at is null)
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
    {%- for time in ['known_from', 'available_at'] %}
        case
            when not is_recorded then hl7_{{ time }}
            when is_added_to then greatest(fhir_{{ time }}, hl7_{{ time }})
            else fhir_{{ time }}
        end as {{ time }},
    {%- endfor %}
    usable_at,
    superseded_at,
    case when superseded_at is not null then superseded_by end as superseded_by
from compared
