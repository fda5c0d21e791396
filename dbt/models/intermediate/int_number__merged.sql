-- Patient numbers that messages merged into another (A34, A40), unless the two were parted again (A37), which names
-- them either way round: the newest word of each pair, and of several merges of a number that stand the newest.
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
)

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
