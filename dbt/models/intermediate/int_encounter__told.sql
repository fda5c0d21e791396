-- What messages tell of a visit, put together in the messages' order whatever order they came in. A row lasts from when
-- one became usable until the next did (`superseded_at`); the first is of the time before (`usable_at` null), empty.
with

message as (
    select
        *,
        {{ in_house('admitted_at', 'admitted_precision', 'source') }} as began_at,
        {{ in_house('discharged_at', 'discharged_precision', 'source') }} as left_at
    from {{ ref('stg_hospital_events__admission') }}
    where not is_withdrawn
),

patient as (
    select * from {{ ref('int_patient__aliased') }}
),

-- Visit numbers that were given up: what each was given up for last.
given_up as (
    select
        house,
        prior_visit_key,
        visit_key
    from (
        select
            house,
            prior_visit_key,
            visit_key,
            row_number() over (
                partition by house, prior_visit_key
                order by version_at desc, valid_from desc, content_hash desc, admission_key desc
            ) as age
        from message
        where prior_visit_key <> visit_key
    ) as numbered
    where age = 1
),

followed as (
    {{ chains('given_up', 'prior_visit_key', 'visit_key') }}
),

renumbered as (
    select
        house,
        number as prior_visit_key,
        max_by(goes_on_as, steps) as visit_key
    from followed
    group by house, number
),

merged as (
    select * from {{ ref('int_number__merged') }}
),

of_visit as (
    select
        message.house,
        message.admission_key,
        message.content_hash,
        message.trigger,
        message.nulled,
        message.patient_key,
        message.class_code,
        message.admission_type,
        message.admit_source,
        message.discharge_disposition,
        message.location_unit,
        message.expected_at,
        message.version_at,
        message.valid_from,
        message.known_from,
        message.available_at,
        message.usable_at,
        coalesce(renumbered.visit_key, message.visit_key) as visit_key,
        message.began_at as admitted_at,
        message.admitted_precision,
        case
            when message.trigger = 'A03'
                then coalesce(message.left_at, message.occurred_at, message.version_at)
            when message.trigger <> 'A13' then message.left_at
        end as discharged_at,
        case
            when message.discharged_at is not null then message.discharged_precision
            else 'second'
        end as discharged_precision,
        case
            when message.trigger in ('A01', 'A04') then coalesce(message.occurred_at, message.version_at)
        end as opened_at,
        -- An outpatient who becomes an inpatient (A06), and the other way round.
        case
            when message.class_code is not null then message.class_code
            when message.trigger = 'A06' then 'I'
            when message.trigger = 'A07' then 'O'
        end as told_class,
        case
            when message.trigger in ('A01', 'A04', 'A13') then 'in-progress'
            when message.trigger = 'A03' then 'finished'
            when message.trigger = 'A11' then 'cancelled'
        end as told_status,
        case when {{ is_icd10(told_system('message.reason_system')) }} then message.reason_code end as reason_code
    from message
    left join renumbered
        on
            message.house = renumbered.house
            and message.visit_key = renumbered.prior_visit_key
    where message.visit_key is not null and message.trigger not in ('A28', 'A31', 'A34', 'A37', 'A40')
),

-- In the order they were sent. Senders that tell the minute alone send several in one: then when it took place counts,
-- and then which can only follow which.
placed as (
    select
        *,
        row_number() over (
            partition by house, visit_key
            order by
                version_at,
                valid_from,
                case
                    when trigger = 'A05' then 0
                    when trigger in ('A01', 'A04') then 1
                    when trigger = 'A03' then 3
                    when trigger = 'A13' then 4
                    when trigger = 'A11' then 5
                    else 2
                end,
                content_hash,
                admission_key
        ) as place
    from of_visit
),

moment as (
    select
        house,
        visit_key,
        usable_at,
        lead(usable_at) over (partition by house, visit_key order by usable_at asc nulls first) as superseded_at
    from (
        select distinct
            house,
            visit_key,
            instant as usable_at
        from placed
            lateral view explode(array(usable_at, cast(null as timestamp))) exploded as instant
    ) as instants
),

told_by_then as (
    select
        moment.house,
        moment.visit_key,
        moment.usable_at,
        moment.superseded_at,
        placed.trigger,
        placed.nulled,
        placed.patient_key,
        placed.told_status,
        placed.told_class,
        placed.admission_type,
        placed.admit_source,
        placed.discharge_disposition,
        placed.location_unit,
        placed.reason_code,
        placed.admitted_at,
        placed.admitted_precision,
        placed.discharged_at,
        placed.discharged_precision,
        placed.expected_at,
        placed.opened_at,
        placed.known_from,
        placed.available_at,
        placed.place
    from moment
    left join placed
        on
            moment.house = placed.house
            and moment.visit_key = placed.visit_key
            and moment.usable_at >= placed.usable_at
),

folded as (
    select
        house,
        visit_key,
        usable_at,
        superseded_at,
        max_by(patient_key, place) as patient_key,
        max_by(told_status, case when told_status is not null then place end) as told_status,
        max(case when trigger in ('A02', 'A06', 'A07') then 1 else 0 end) as is_moved,
        max(case when trigger = 'A05' then 1 else 0 end) as is_announced,
        {{ last_told('told_class', 'class_code') }} as class_code,
        {{ last_told('admission_type', 'admission_type') }} as admission_type,
        {{ last_told('admit_source', 'admit_source') }} as admit_source,
        {{ last_told('discharge_disposition', 'discharge_disposition', "trigger = 'A13'") }} as discharge_disposition,
        {{ last_told('location_unit', 'location') }} as location_unit,
        max_by(reason_code, case when reason_code is not null then place end) as reason_code,
        {{ last_told('admitted_at', 'admitted_at') }} as admitted_at,
        max_by(admitted_precision, case when admitted_at is not null then place end) as admitted_precision,
        {{ last_told('discharged_at', 'discharged_at', "trigger = 'A13'") }} as discharged_at,
        max_by(discharged_precision, case when discharged_at is not null then place end) as discharged_precision,
        {{ last_told('expected_at', 'expected_at') }} as expected_at,
        min(opened_at) as opened_at,
        min(available_at) as first_known_at,
        max(available_at) as available_at,
        max(known_from) as known_from
    from told_by_then
    group by house, visit_key, usable_at, superseded_at
),

judged as (
    select
        *,
        case
            when told_status is not null then told_status
            when is_moved = 1 then 'in-progress'
            when is_announced = 1 then 'planned'
            when discharged_at is not null then 'finished'
            when admitted_at is not null then 'in-progress'
            else 'unknown'
        end as status
    from folded
)

select
    judged.visit_key,
    judged.house,
    coalesce(patient.patient_key, merged.patient_key, judged.patient_key) as patient_key,
    judged.status,
    {{ told_code('judged.class_code', 'class') }} as class_code,
    {{ told_code('judged.admission_type', 'priority') }} as priority_code,
    {{ told_code('judged.admit_source', 'admit_source') }} as admit_source_code,
    {{ told_code('judged.discharge_disposition', 'discharge_disposition') }} as discharge_disposition_code,
    judged.reason_code,
    judged.location_unit,
    case
        when judged.admitted_at is not null then judged.admitted_at
        when judged.status = 'planned' then judged.expected_at
        else judged.opened_at
    end as started_at,
    case when judged.admitted_at is not null then judged.admitted_precision else 'second' end as started_precision,
    case when judged.status = 'finished' then judged.discharged_at end as ended_at,
    case
        when judged.status = 'finished' and judged.discharged_at is not null then judged.discharged_precision
    end as ended_precision,
    judged.first_known_at,
    judged.known_from,
    judged.available_at,
    judged.usable_at,
    judged.superseded_at
from judged
left join merged
    on
        judged.house = merged.house
        and judged.patient_key = merged.prior_patient_key
left join patient
    on
        judged.house = patient.source
        and coalesce(merged.patient_key, judged.patient_key) = patient.alias_key
