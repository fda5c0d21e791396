-- Patient numbers that messages merged into another (A34, A40), unless the two were parted again (A37), which names
-- them either way round: the newest word of each pair, and of several merges of a number that stand the newest. A
-- number goes on as the last of those it was merged into that a patient is known by; a merge into numbers that nobody
-- is known by yet takes no number from the patient that has it.
with

named as (
    select
        house,
        trigger,
        patient_key,
        prior_patient_key,
        least(patient_key, prior_patient_key) as one,
        greatest(patient_key, prior_patient_key) as other,
        row_number() over (order by valid_from, version_at, content_hash, admission_key) as place
    from {{ ref('stg_hospital_events__admission') }}
        lateral view explode(prior_patient_keys) exploded as prior_patient_key
    where not is_withdrawn and trigger in ('A34', 'A37', 'A40')
),

newest as (
    select
        house,
        one,
        other,
        max(place) as place
    from named
    where one <> other
    group by house, one, other
),

standing as (
    select
        named.house,
        named.prior_patient_key,
        max_by(named.patient_key, named.place) as patient_key
    from named
    inner join newest
        on
            named.house = newest.house
            and named.one = newest.one
            and named.other = newest.other
            and named.place = newest.place
    where named.trigger <> 'A37'
    group by named.house, named.prior_patient_key
),

followed as (
    {{ chains('standing', 'prior_patient_key', 'patient_key') }}
),

ended as (
    select
        followed.house,
        followed.number,
        max_by(followed.goes_on_as, case when patient.alias_key is not null then followed.steps end) as last_known,
        max_by(followed.goes_on_as, followed.steps) as last_told
    from followed
    left join {{ ref('int_patient__aliased') }} as patient
        on
            followed.house = patient.source
            and followed.goes_on_as = patient.alias_key
    group by followed.house, followed.number
)

select
    ended.house,
    ended.number as prior_patient_key,
    coalesce(ended.last_known, ended.last_told) as patient_key
from ended
left join {{ ref('int_patient__aliased') }} as patient
    on
        ended.house = patient.source
        and ended.number = patient.alias_key
where ended.last_known is not null or patient.alias_key is null
