-- The patient of each number by which results name one: that of the number itself, else of another told with it. A
-- laboratory of no house names patients of several by their hospitals' numbers.
with

told as (
    select
        source,
        {{ house_of('source') }} as house,
        patient_key as told_key,
        other_key
    from {{ ref('stg_hospital_events__result') }}
        lateral view explode(array_union(array(patient_key), coalesce(patient_keys, array()))) exploded as other_key
    union
    select
        source,
        {{ house_of('source') }} as house,
        patient_key as told_key,
        other_key
    from {{ source('silver', 'hospital_events__result_revised') }}
        lateral view explode(array_union(array(patient_key), coalesce(patient_keys, array()))) exploded as other_key
),

current_number as (
    select
        told.source,
        told.house,
        told.told_key,
        told.other_key <> told.told_key as is_other,
        coalesce(merged.patient_key, told.other_key) as number_key
    from told
    left join {{ ref('int_number__merged') }} as merged
        on
            told.other_key = merged.prior_patient_key
            and (told.house = merged.house or told.house = told.source)
)

select
    current_number.source,
    current_number.told_key as number_key,
    coalesce(
        min(case when not current_number.is_other then patient.patient_key end),
        min(patient.patient_key)
    ) as patient_key
from current_number
inner join {{ ref('int_patient__aliased') }} as patient
    on
        current_number.number_key = patient.alias_key
        and (current_number.house = patient.source or current_number.house = current_number.source)
group by current_number.source, current_number.told_key
