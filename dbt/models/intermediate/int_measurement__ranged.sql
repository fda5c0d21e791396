-- Numbers of concepts we know, of current and superseded versions, each with what values can be at that age and sex.
with

measurement as (
    select
        true as is_current,
        cast(1 as bigint) as version_count,
        source,
        told_by,
        observation_key,
        content_hash,
        component_index,
        patient_key,
        effective_at,
        unit,
        value_number,
        concept,
        ucum,
        range_key,
        is_banded,
        value_as_sent
    from ({{ measured("select * from " ~ ref('int_measurement__told')) }}) as current_version
    where is_measured
    union all
    select
        false as is_current,
        count(*) as version_count,
        source,
        told_by,
        observation_key,
        content_hash,
        component_index,
        patient_key,
        effective_at,
        unit,
        value_number,
        concept,
        ucum,
        range_key,
        is_banded,
        value_as_sent
    from ({{ measured("select * from " ~ ref('int_measurement__superseded')) }}) as superseded_version
    where is_measured
    group by
        source,
        told_by,
        observation_key,
        content_hash,
        component_index,
        patient_key,
        effective_at,
        unit,
        value_number,
        concept,
        ucum,
        range_key,
        is_banded,
        value_as_sent
),

patient as (
    select
        link.patient_key,
        link.person_key,
        case when person.sex in ('female', 'male') then person.sex else 'unknown' end as sex,
        person.birth_year,
        coalesce(person.birth_month, 1) as birth_month
    from {{ ref('int_patient__linked') }} as link
    left join {{ ref('dim_person') }} as person
        on link.person_key = person.person_key
),

aged as (
    select
        measurement.*,
        coalesce(patient.person_key, measurement.patient_key) as person_key,
        case when measurement.is_banded then coalesce(patient.sex, 'unknown') else 'any' end as sex,
        case
            when not measurement.is_banded or patient.birth_year is null or measurement.effective_at is null then -1
            when month(measurement.effective_at) < patient.birth_month
                then greatest(year(measurement.effective_at) - patient.birth_year - 1, 0)
            else greatest(year(measurement.effective_at) - patient.birth_year, 0)
        end as age_years,
        greatest(
            coalesce(
                12 * (year(measurement.effective_at) - patient.birth_year)
                + month(measurement.effective_at) - patient.birth_month,
                216
            ),
            0
        ) as age_months
    from measurement
    left join patient
        on measurement.patient_key = patient.patient_key
)

select
    aged.is_current,
    aged.version_count,
    aged.source,
    aged.told_by,
    aged.observation_key,
    aged.content_hash,
    aged.component_index,
    aged.person_key,
    aged.effective_at,
    aged.unit,
    aged.value_number,
    aged.concept,
    aged.ucum,
    aged.value_as_sent,
    -- Comparable with the person's other values, whatever their age.
    coalesce(
        growth.typical_from
        + (growth.typical_below - growth.typical_from)
        * (aged.age_months - growth.month_from) / (growth.month_below - growth.month_from),
        1.0D
    ) as typical,
    value_range.varies_by,
    value_range.lasts,
    coalesce(aged.value_as_sent between value_range.low and value_range.high, false) as is_possible,
    coalesce(aged.value_as_sent between value_range.usual_low and value_range.usual_high, false) as is_usual,
    coalesce(aged.value_as_sent between value_range.clear_low and value_range.clear_high, false) as is_clear,
    value_range.low,
    value_range.high,
    value_range.usual_low,
    value_range.usual_high
from aged
left join {{ source('rules', 'value_range') }} as value_range
    on
        aged.range_key = value_range.range_key
        and aged.sex = value_range.sex
        and aged.age_years >= value_range.age_from
        and aged.age_years < value_range.age_below
left join {{ source('rules', 'growth') }} as growth
    on
        aged.concept = growth.concept
        and aged.age_months >= growth.month_from
        and aged.age_months < growth.month_below
