-- Values that are not what their unit says, or may not be. What a person's other values say counts most: a value within
-- the factor by which theirs vary is right, one that only another unit brings there is in that unit. A value that may
-- be right as labelled may be an extreme one: another unit must bring it nearer by more than that factor. They are
-- compared by the median of those within 400 days, or of all; a child's in relation to what is typical at that age.
-- Without others, the limits for age and sex decide, and what they leave open is held back. Devices at home measure day
-- by day: what they say of every third day within 400 is compared with, for work would else grow by the square of them.
{% set records = [
    ('hospital__observation', 'observation_key'),
    ('hospital_events__result', 'result_key'),
    ('wearables__home_reading', 'home_reading_key'),
] %}
{% set key = ['is_current', 'observation_key', 'content_hash', 'component_index'] %}
with

ranged as (
    select * from {{ ref('int_measurement__ranged') }}
),

unclear as (
    select *
    from ranged
    where not is_clear
),

witness as (
    select
        person_key,
        concept,
        told_by,
        observation_key,
        effective_at,
        value_as_sent / typical as share_of_typical
    from ranged
    where
        is_current
        and is_possible
        and (is_usual or lasts)
        and value_as_sent > 0
        and (told_by <> 'wearables' or day(effective_at) % 3 = 1)
),

compared as (
    select
        unclear.is_current,
        unclear.observation_key,
        unclear.content_hash,
        unclear.component_index,
        witness.share_of_typical,
        abs(datediff(unclear.effective_at, witness.effective_at)) <= 400 as is_near
    from unclear
    inner join witness
        on
            unclear.person_key = witness.person_key
            and unclear.concept = witness.concept
            and unclear.observation_key <> witness.observation_key
            and (
                witness.told_by <> 'wearables'
                or abs(datediff(unclear.effective_at, witness.effective_at)) <= 400
            )
),

history as (
    select
        {{ key | join(',\n        ') }},
        sort_array(collect_list(case when is_near then share_of_typical end)) as near_values,
        sort_array(collect_list(share_of_typical)) as all_values
    from compared
    group by {{ key | join(', ') }}
),

-- The values nearby count, or all where there is none.
counted as (
    select
        {{ key | join(',\n        ') }},
        case when size(near_values) > 0 then near_values else all_values end as other_values
    from history
),

remembered as (
    select
        unclear.*,
        get(counted.other_values, cast((size(counted.other_values) - 1) / 2 as int)) * unclear.typical as median,
        case when counted.other_values is not null then size(counted.other_values) else 0 end as other_count
    from unclear
    left join counted
        on
            unclear.observation_key = counted.observation_key
            and unclear.content_hash = counted.content_hash
            and unclear.component_index = counted.component_index
            and unclear.is_current = counted.is_current
),

explained as (
    select
        remembered.is_current,
        remembered.version_count,
        remembered.source,
        remembered.told_by,
        remembered.observation_key,
        remembered.content_hash,
        remembered.component_index,
        remembered.concept,
        remembered.unit,
        remembered.value_as_sent,
        remembered.varies_by,
        remembered.is_possible,
        remembered.is_usual,
        alternative.meant,
        alternative.factor,
        alternative.addend,
        coalesce(alternative.is_unit, false) as is_unit,
        remembered.median,
        remembered.other_count,
        alternative.factor * remembered.value_number + alternative.addend as value_meant,
        coalesce(
            alternative.factor * remembered.value_number + alternative.addend
            between remembered.low and remembered.high,
            false
        ) as is_meant_possible,
        coalesce(
            alternative.factor * remembered.value_number + alternative.addend
            between remembered.usual_low and remembered.usual_high,
            false
        ) as is_meant_usual
    from remembered
    left join {{ source('rules', 'alternative') }} as alternative
        on
            remembered.concept = alternative.concept
            and remembered.ucum = alternative.ucum
),

-- How many times larger or smaller than the person's median; a value that is not above zero is far from any.
distant as (
    select
        *,
        case
            when value_as_sent > 0 then greatest(value_as_sent / median, median / value_as_sent)
            when median is not null then 1e9D
        end as distance,
        case
            when value_meant > 0 then greatest(value_meant / median, median / value_meant)
            when median is not null then 1e9D
        end as distance_meant
    from explained
),

weighed as (
    select
        *,
        case
            when median is null then is_meant_possible and is_meant_usual
            else
                is_meant_possible
                and distance_meant <= varies_by
                and distance_meant * case when is_possible then varies_by else 1 end < distance
        end as explains
    from distant
),

weighed_up as (
    select
        {{ key | join(',\n        ') }},
        source,
        told_by,
        concept,
        unit,
        max(version_count) as version_count,
        max(other_count) as other_count,
        max(value_as_sent is not null) as is_converted,
        max(is_possible) as is_possible,
        max(is_usual) as is_usual,
        max(median is not null) as has_history,
        coalesce(max(distance <= varies_by), false) as fits_history,
        sum(case when explains then 1 else 0 end) as explanations,
        max(explains and is_unit) as is_explained_by_unit,
        coalesce(max(is_meant_possible and distance_meant < distance), false) as is_any_nearer,
        max(is_meant_usual) as is_any_usual,
        max(case when explains then meant end) as meant,
        max(case when explains then factor end) as factor,
        max(case when explains then addend end) as addend
    from weighed
    group by {{ key | join(', ') }}, source, told_by, concept, unit
),

judged as (
    select
        *,
        case
            when not is_converted then 'unconvertible_unit'
            when
                explanations = 1 and is_explained_by_unit
                and (not is_possible or (has_history and not fits_history))
                then 'unit_slip'
            when not is_possible and explanations = 0 then 'implausible_value'
            when not is_possible then 'unit_in_doubt'
            when has_history and fits_history
                then
                    case
                        when not is_usual and is_any_usual and (other_count < 3 or is_any_nearer) then 'unit_in_doubt'
                    end
            when has_history and (explanations > 0 or is_any_nearer or (not is_usual and is_any_usual))
                then 'unit_in_doubt'
            when not has_history and is_any_usual then 'unit_in_doubt'
        end as rule
    from weighed_up
),

suspect as (
    select *
    from judged
    where rule is not null
),

place as (
    {% for record, key_column in records %}
        select
            {{ key_column }} as observation_key, -- noqa: AL09
            content_hash,
            source,
            known_from,
            batch_id,
            file,
            line,
            line_hash
        from {{ source('silver', record ~ '_received') }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

received as (
    select
        suspect.*,
        place.source as place_source,
        place.batch_id,
        place.file,
        place.line,
        place.line_hash,
        row_number() over (
            partition by suspect.is_current, suspect.observation_key, suspect.content_hash, suspect.component_index
            order by place.known_from, place.batch_id, place.file, place.line
        ) as receipt
    from suspect
    left join place
        on
            suspect.observation_key = place.observation_key
            and suspect.content_hash = place.content_hash
)

select
    coalesce(place_source, source) as source,
    case told_by
        when 'hl7' then 'Result'
        when 'wearables' then 'HomeReading'
        else 'Observation'
    end as resource_type,
    observation_key,
    component_index,
    content_hash,
    is_current,
    version_count,
    concept,
    case when rule = 'unit_slip' then 'recovered' else 'suspect' end as verdict,
    rule,
    case rule
        when 'unconvertible_unit' then concat('the unit of ', concept, ' does not convert')
        when 'implausible_value' then concat('no living person of that age and sex has such a ', concept)
        when 'unit_in_doubt' then concat('the unit or the decimal point of ', concept, ' may be wrong')
        else concat(concept, ' is in ', meant, ', not in the unit it is labelled with')
    end as reason,
    case when rule = 'unit_slip' then meant end as unit_meant,
    case when rule = 'unit_slip' then factor end as factor,
    case when rule = 'unit_slip' then addend end as addend,
    batch_id,
    file,
    line,
    line_hash
from received
where receipt = 1
