{{ config(partition_by='month') }}

with

sold as (
    select * from {{ ref('int_dispense__sold') }}
),

told as (
    select * from {{ ref('int_dispense__told') }}
),

person as (
    select * from {{ ref('int_patient__linked') }}
),

encounter as (
    select encounter_key from {{ ref('fct_encounter') }}
),

house as (
    select distinct
        source,
        facility_key
    from {{ ref('int_house__named') }}
    where facility_key is not null
),

facility as (
    select facility_key from {{ ref('dim_facility') }}
),

-- What holds for a time is looked up by the months that it holds in.
sold_until as (
    select to_date(max(known_from)) as last_date
    from {{ ref('stg_pharmacy__dispense') }}
),

price_until as (
    select
        price.source,
        price.article_no,
        price.price,
        price.first_date,
        least(
            coalesce(price.last_date, sold_until.last_date),
            sold_until.last_date,
            coalesce(
                date_sub(
                    lead(price.first_date) over (
                        partition by price.source, price.article_no order by price.first_date, price.price_key
                    ),
                    1
                ),
                sold_until.last_date
            )
        ) as last_date
    from {{ ref('stg_pharmacy__price') }} as price
    cross join sold_until
    where not price.is_withdrawn and price.currency = 'EUR'
),

price_list as (
    select
        source,
        article_no,
        price,
        first_date,
        last_date,
        held_month
    from price_until
        lateral view explode(
            sequence(trunc(first_date, 'MM'), trunc(greatest(first_date, last_date), 'MM'), interval 1 month)
        ) exploded as held_month
),

request_coded as (
    select
        medication_request_key,
        person_key,
        encounter_key,
        code_system,
        code,
        authored_at,
        authored_precision
    from {{ ref('fct_medication_request') }}
    where authored_precision in ('second', 'day')
),

request as (
    {{ with_atc('request_coded') }}
),

-- A pharmacy's prescription number is in no hospital's record. What it was written for is inferred: the person's newest
-- request of that medication before the prescription's first fill, within the half year and more that fills go on for.
request_until as (
    select
        person_key,
        atc_code,
        medication_request_key,
        authored_at,
        least(
            authored_at + interval 201 days,
            coalesce(
                lead(authored_at) over (
                    partition by person_key, atc_code order by authored_at, medication_request_key
                ),
                authored_at + interval 201 days
            )
        ) as superseded_at
    from request
    where person_key is not null and atc_code is not null
),

request_held as (
    select
        person_key,
        atc_code,
        medication_request_key,
        authored_at,
        superseded_at,
        held_month
    from request_until
        lateral view explode(
            sequence(trunc(authored_at, 'MM'), trunc(superseded_at, 'MM'), interval 1 month)
        ) exploded as held_month
),

prescribed as (
    select
        source,
        prescription_key,
        min(dispensed_at) as first_at
    from {{ ref('stg_pharmacy__dispense') }}
    where not is_withdrawn and prescription_key is not null
    group by source, prescription_key
),

-- A hospital's order is its record's request where encounter, medication and second are the same, and of one request
-- alone.
ordered as (
    select
        encounter_key,
        atc_code,
        date_trunc('second', authored_at) as authored_at,
        min(medication_request_key) as medication_request_key
    from request
    where authored_precision = 'second' and encounter_key is not null and atc_code is not null
    group by encounter_key, atc_code, date_trunc('second', authored_at)
    having count(*) = 1
),

charged as (
    select
        sold.*,
        price_list.price,
        person.person_key,
        person.is_person_current,
        facility.facility_key is not null as is_facility_resolved,
        request_held.medication_request_key,
        case
            when sold.unit_price_eur is null then 'not_told'
            when price_list.price is null then 'not_listed'
            when abs(price_list.price - sold.unit_price_eur) < 0.005D then 'as_listed'
            when abs(price_list.price / 100 - sold.unit_price_eur) < 0.1D * sold.unit_price_eur then 'list_in_cents'
            when abs(sold.unit_price_eur / 100 - price_list.price) < 0.1D * price_list.price then 'charged_in_cents'
            else 'unlike_list'
        end as price_check
    from sold
    left join price_list
        on
            sold.source = price_list.source
            and sold.article_no = price_list.article_no
            and trunc(sold.dispensed_date, 'MM') = price_list.held_month
            and sold.dispensed_date between price_list.first_date and price_list.last_date
    left join person
        on sold.customer_key = person.patient_key
    left join facility
        on sold.facility_key = facility.facility_key
    left join prescribed
        on sold.source = prescribed.source and sold.prescription_key = prescribed.prescription_key
    left join request_held
        on
            person.person_key = request_held.person_key
            and sold.atc_code = request_held.atc_code
            and trunc(prescribed.first_at, 'MM') = request_held.held_month
            and prescribed.first_at >= request_held.authored_at
            and prescribed.first_at < request_held.superseded_at
),

of_pharmacy as (
    select
        dispense_key,
        source,
        'pharmacy' as told_by,
        coalesce(person_key, customer_key) as person_key,
        customer_key as patient_key,
        facility_key,
        cast(null as string) as encounter_key,
        prescription_key,
        medication_request_key,
        case when medication_request_key is not null then 'inferred' end as medication_request_basis,
        article_no,
        code_system,
        code,
        atc_code,
        case
            when atc_code is not null then null
            when is_article_known and code is null then 'no_medicine'
            when code is not null then 'unmapped_code'
            when article_no is not null then 'unknown_article'
            else 'not_told'
        end as medication_missing_reason,
        name as medication_name,
        strength,
        unit,
        pack_size,
        quantity_posted,
        quantity,
        quantity_kept,
        cast(quantity * pack_size as double) as amount,
        cast(
            case
                when quantity = 0 then days_supply * 0
                else round(days_supply * quantity / abs(quantity_posted))
            end as int
        ) as days_supply,
        case
            when days_supply is not null then null
            when is_article_known and code is null then 'no_medicine'
            else 'not_told'
        end as days_supply_missing_reason,
        unit_price_eur as unit_price_posted_eur,
        case when price_check = 'charged_in_cents' then unit_price_eur / 100 else unit_price_eur end as unit_price_eur,
        case when price_check = 'list_in_cents' then price / 100 else price end as list_price_eur,
        price_check,
        dispensed_at,
        dispensed_date,
        is_reversal,
        is_reversed,
        is_repeated,
        reverses_key,
        case when customer_key is not null then coalesce(is_person_current, false) end as is_person_resolved,
        cast(null as boolean) as is_encounter_resolved,
        is_facility_resolved,
        is_sale_resolved,
        known_from,
        available_at,
        usable_at,
        content_hash,
        month
    from charged
),

of_hospital as (
    select
        told.dispense_key,
        told.source,
        'hl7' as told_by,
        coalesce(person.person_key, told.patient_key) as person_key,
        told.patient_key,
        house.facility_key,
        told.encounter_key,
        told.prescription_key,
        ordered.medication_request_key,
        case when ordered.medication_request_key is not null then 'same_order' end as medication_request_basis,
        cast(null as string) as article_no,
        told.code_system,
        told.code,
        told.atc_code,
        case
            when told.atc_code is not null then null
            when told.code is not null then 'unmapped_code'
            else 'not_told'
        end as medication_missing_reason,
        cast(null as string) as medication_name,
        cast(null as string) as strength,
        told.unit,
        cast(null as int) as pack_size,
        cast(null as int) as quantity_posted,
        cast(null as int) as quantity,
        cast(null as int) as quantity_kept,
        told.amount,
        cast(null as int) as days_supply,
        cast(null as string) as days_supply_missing_reason,
        cast(null as double) as unit_price_posted_eur,
        cast(null as double) as unit_price_eur,
        cast(null as double) as list_price_eur,
        cast(null as string) as price_check,
        told.dispensed_at,
        {{ local_date('told.dispensed_at', "'second'", 'told.source') }} as dispensed_date,
        cast(null as boolean) as is_reversal,
        cast(null as boolean) as is_reversed,
        cast(null as boolean) as is_repeated,
        cast(null as string) as reverses_key,
        coalesce(person.is_person_current, false) as is_person_resolved,
        {{ is_resolved('told.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
        facility.facility_key is not null as is_facility_resolved,
        cast(null as boolean) as is_sale_resolved,
        told.known_from,
        told.available_at,
        told.usable_at,
        told.content_hash,
        told.month
    from told
    left join person
        on told.patient_key = person.patient_key
    left join house
        on told.house = house.source
    left join facility
        on house.facility_key = facility.facility_key
    left join encounter
        on told.encounter_key = encounter.encounter_key
    left join ordered
        on
            told.encounter_key = ordered.encounter_key
            and told.atc_code = ordered.atc_code
            and date_trunc('second', told.ordered_at) = ordered.authored_at
),

dispense as (
    select * from of_pharmacy
    union all
    select * from of_hospital
)

select
    dispense.dispense_key,
    dispense.source,
    dispense.told_by,
    dispense.person_key,
    dispense.patient_key,
    dispense.facility_key,
    dispense.encounter_key,
    dispense.prescription_key,
    dispense.medication_request_key,
    dispense.medication_request_basis,
    dispense.article_no,
    dispense.code_system,
    dispense.code,
    dispense.atc_code,
    dispense.medication_missing_reason,
    dispense.medication_name,
    dispense.strength,
    coalesce(form.concept, dispense.unit) as form,
    dispense.pack_size,
    dispense.quantity_posted,
    dispense.quantity,
    dispense.quantity_kept,
    dispense.amount,
    dispense.days_supply,
    case
        when dispense.told_by = 'hl7' then 'not_told' else dispense.days_supply_missing_reason
    end as days_supply_missing_reason,
    dispense.unit_price_posted_eur,
    dispense.unit_price_eur,
    dispense.list_price_eur,
    coalesce(dispense.price_check, 'not_told') as price_check,
    round(dispense.quantity * dispense.unit_price_eur, 2) as price_eur,
    dispense.dispensed_at,
    dispense.dispensed_date,
    coalesce(dispense.is_reversal, false) as is_reversal,
    coalesce(dispense.is_reversed, false) as is_reversed,
    coalesce(dispense.is_repeated, false) as is_repeated,
    dispense.reverses_key,
    dispense.is_person_resolved,
    dispense.is_encounter_resolved,
    dispense.is_facility_resolved,
    case
        when coalesce(dispense.medication_missing_reason <> 'no_medicine', true) then dispense.atc_code is not null
    end as is_medication_resolved,
    case
        when dispense.prescription_key is not null then dispense.medication_request_key is not null
    end as is_medication_request_resolved,
    dispense.is_sale_resolved,
    dispense.known_from,
    dispense.available_at,
    dispense.usable_at,
    dispense.content_hash,
    coalesce(dispense.month, 'undated') as month
from dispense
left join {{ source('rules', 'code_meaning') }} as form
    on form.map = 'dose_form' and dispense.unit = form.code
