-- Values that are not what their unit says, or may not be. What a person's other values say counts most: a value within
-- the factor by which theirs vary is right, one that only another unit brings there is in that unit. They are
-- compared by the median of those within 400 days, or of all; a child's in relation to what is typical at that age.
-- Without others, the limits for age and sex decide, and what they leave open is held back.
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

other_value as (
    select
        unclear.is_current,
        unclear.observation_key,
        unclear.content_hash,
        unclear.component_index,
        ranged.value_as_sent / ranged.typical as share_of_typical,
        abs(datediff(unclear.effective_at, ranged.effective_at)) as days_apart
    from unclear
    inner join ranged
        on
            unclear.person_key = ranged.person_key
            and unclear.concept = ranged.concept
            and unclear.observation_key <> ranged.observation_key
    where
        ranged.is_current
        and ranged.is_possible
        and ranged.value_as_sent > 0
),

nearest as (
    select
        *,
        min(coalesce(days_apart, 1000000)) over (partition by {{ key | join(', ') }}) as fewest_days_apart
    from other_value
),

history as (
    select
        {{ key | join(',\n        ') }},
        sort_array(collect_list(share_of_typical)) as other_values
    from nearest
    where days_apart <= 400 or fewest_days_apart > 400
    group by {{ key | join(', ') }}
),

baseline as (
    select
        {{ key | join(',\n        ') }},
        size(other_values) as other_count,
        get(other_values, cast((size(other_values) - 1) / 2 as int)) as median
    from history
),

explained as (
    select
        unclear.is_current,
        unclear.version_count,
        unclear.source,
        unclear.observation_key,
        unclear.content_hash,
        unclear.component_index,
        unclear.concept,
        unclear.unit,
        unclear.value_as_sent,
        unclear.varies_by,
        unclear.is_possible,
        unclear.is_usual,
        alternative.meant,
        alternative.factor,
        alternative.addend,
        coalesce(alternative.is_unit, false) as is_unit,
        baseline.median * unclear.typical as median,
        coalesce(baseline.other_count, 0) as other_count,
        alternative.factor * unclear.value_number + alternative.addend as value_meant,
        coalesce(
            alternative.factor * unclear.value_number + alternative.addend between unclear.low and unclear.high, false
        ) as is_meant_possible,
        coalesce(
            alternative.factor * unclear.value_number + alternative.addend
            between unclear.usual_low and unclear.usual_high,
            false
        ) as is_meant_usual
    from unclear
    left join {{ source('rules', 'alternative') }} as alternative
        on
            unclear.concept = alternative.concept
            and unclear.ucum = alternative.ucum
    left join baseline
        on
            unclear.observation_key = baseline.observation_key
            and unclear.content_hash = baseline.content_hash
            and unclear.component_index = baseline.component_index
            and unclear.is_current = baseline.is_current
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
            else is_meant_possible and distance_meant <= varies_by and distance_meant < distance
        end as explains
    from distant
),

weighed_up as (
    select
        {{ key | join(',\n        ') }},
        source,
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
    group by {{ key | join(', ') }}, source, concept, unit
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

wanted as (
    select distinct
        observation_key,
        content_hash
    from suspect
),

received as (
    select
        place.observation_key,
        place.content_hash,
        place.batch_id,
        place.file,
        place.line,
        place.line_hash,
        row_number() over (
            partition by place.observation_key, place.content_hash
            order by place.known_from, place.batch_id, place.file, place.line
        ) as receipt
    from {{ source('silver', 'hospital__observation_received') }} as place
    inner join wanted
        on
            place.observation_key = wanted.observation_key
            and place.content_hash = wanted.content_hash
)

select
    suspect.source,
    'Observation' as resource_type,
    suspect.observation_key,
    suspect.component_index,
    suspect.content_hash,
    suspect.is_current,
    suspect.version_count,
    suspect.concept,
    case when suspect.rule = 'unit_slip' then 'recovered' else 'suspect' end as verdict,
    suspect.rule,
    case suspect.rule
        when 'unconvertible_unit' then concat('the unit of ', suspect.concept, ' does not convert')
        when 'implausible_value' then concat('no living person of that age and sex has such a ', suspect.concept)
        when 'unit_in_doubt' then concat('the unit or the decimal point of ', suspect.concept, ' may be wrong')
        else concat(suspect.concept, ' is in ', suspect.meant, ', not in the unit it is labelled with')
    end as reason,
    case when suspect.rule = 'unit_slip' then suspect.meant end as unit_meant,
    case when suspect.rule = 'unit_slip' then suspect.factor end as factor,
    case when suspect.rule = 'unit_slip' then suspect.addend end as addend,
    received.batch_id,
    received.file,
    received.line,
    received.line_hash
from suspect
left join received
    on
        suspect.observation_key = received.observation_key
        and suspect.content_hash = received.content_hash
        and received.receipt = 1
