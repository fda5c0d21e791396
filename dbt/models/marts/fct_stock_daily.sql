{{ config(partition_by='month') }}

with

article as (
    select
        source,
        article_no,
        atc_code
    from {{ ref('int_article__coded') }}
    where atc_code is not null
),

ward_told as (
    select
        source,
        hospital_id,
        ward,
        report_date,
        expiry_date,
        quantity,
        unit,
        {{ atc_system() }} as code_system,
        atc_code as code,
        known_from,
        available_at,
        usable_at
    from {{ ref('stg_hospital_resources__drug_stock') }}
    where not is_withdrawn
),

ward_medicine as (
    {{ with_atc('ward_told') }}
),

lot as (
    select
        'pharmacy' as kind,
        stock.source,
        stock.pharmacy_id as facility_id,
        stock.facility_key,
        cast(null as string) as ward,
        article.atc_code,
        'packs' as counted_in,
        stock.counted_date as date,
        stock.expiry_date,
        stock.quantity,
        stock.known_from,
        stock.available_at,
        stock.usable_at
    from {{ ref('stg_pharmacy__stock') }} as stock
    inner join article
        on stock.source = article.source and stock.article_no = article.article_no
    where not stock.is_withdrawn
    union all
    select
        'hospital' as kind,
        ward_medicine.source,
        ward_medicine.hospital_id as facility_id,
        house.facility_key,
        ward_medicine.ward,
        ward_medicine.atc_code,
        coalesce(form.concept, ward_medicine.unit) as counted_in,
        ward_medicine.report_date as date,
        ward_medicine.expiry_date,
        ward_medicine.quantity,
        ward_medicine.known_from,
        ward_medicine.available_at,
        ward_medicine.usable_at
    from ward_medicine
    left join {{ ref('int_house__named') }} as house
        on ward_medicine.hospital_id = house.told_id
    left join {{ source('rules', 'code_meaning') }} as form
        on form.map = 'dose_form' and ward_medicine.unit = form.code
    where ward_medicine.atc_code is not null
),

counted as (
    select
        kind,
        source,
        facility_id,
        facility_key,
        ward,
        atc_code,
        counted_in,
        date,
        sum(quantity) as on_hand,
        sum(case when quantity > 0 then 1 else 0 end) as lots,
        min(case when quantity > 0 then expiry_date end) as first_expiry_date,
        sum(case when expiry_date < date then quantity else 0 end) as expired_on_hand,
        sum(case when datediff(expiry_date, date) between 0 and 30 then quantity else 0 end) as expiring_30d_on_hand,
        sum(case when datediff(expiry_date, date) <= 1 then quantity else 0 end) as expired_by_next_day,
        max(known_from) as known_from,
        max(available_at) as available_at,
        max(usable_at) as usable_at
    from lot
    group by kind, source, facility_id, facility_key, ward, atc_code, counted_in, date
),

followed as (
    select
        *,
        lag(date) over (
            partition by source, facility_id, ward, atc_code, counted_in order by date
        ) as previous_date,
        lag(on_hand) over (
            partition by source, facility_id, ward, atc_code, counted_in order by date
        ) as previous_on_hand,
        lag(expired_by_next_day) over (
            partition by source, facility_id, ward, atc_code, counted_in order by date
        ) as expired_since
    from counted
),

delivered as (
    select
        delivery.facility_key,
        article.atc_code,
        {{ local_date('delivery.delivered_at', "'second'", 'delivery.source') }} as date,
        sum(delivery.delivered_quantity) as packs
    from {{ ref('stg_pharmacy__delivery') }} as delivery
    inner join article
        on delivery.source = article.source and delivery.article_no = article.article_no
    where not delivery.is_withdrawn and delivery.delivered_at is not null
    group by
        delivery.facility_key,
        article.atc_code,
        {{ local_date('delivery.delivered_at', "'second'", 'delivery.source') }}
),

dispensed as (
    select
        facility_key,
        atc_code,
        dispensed_date as date,
        sum(quantity) as packs
    from {{ ref('fct_dispense') }}
    where told_by = 'pharmacy' and facility_key is not null and atc_code is not null
    group by facility_key, atc_code, dispensed_date
),

moved as (
    select
        followed.*,
        case when followed.kind = 'pharmacy' then coalesce(delivered.packs, 0) end as delivered,
        case when followed.kind = 'pharmacy' then coalesce(dispensed.packs, 0) end as dispensed
    from followed
    left join delivered
        on
            followed.kind = 'pharmacy'
            and followed.facility_key = delivered.facility_key
            and followed.atc_code = delivered.atc_code
            and followed.date = delivered.date
    left join dispensed
        on
            followed.kind = 'pharmacy'
            and followed.facility_key = dispensed.facility_key
            and followed.atc_code = dispensed.atc_code
            and followed.date = dispensed.date
),

-- A shelf holds no less than nothing: what is sold beyond it was fetched elsewhere.
expected as (
    select
        *,
        case
            when kind = 'pharmacy' and datediff(date, previous_date) = 1
                then greatest(previous_on_hand + delivered - dispensed, 0)
        end as most_on_hand,
        case
            when kind = 'pharmacy' and datediff(date, previous_date) = 1
                then greatest(previous_on_hand + delivered - dispensed - expired_since, 0)
        end as least_on_hand
    from moved
)

select
    source,
    facility_id,
    facility_key,
    ward,
    atc_code,
    counted_in,
    date,
    cast(on_hand as int) as on_hand,
    cast(delivered as int) as delivered,
    cast(dispensed as int) as dispensed,
    cast(most_on_hand as int) as expected_on_hand,
    cast(
        case
            when on_hand > most_on_hand then on_hand - most_on_hand
            when on_hand < least_on_hand then on_hand - least_on_hand
            when most_on_hand is not null then 0
        end as int
    ) as unexplained,
    on_hand between least_on_hand and most_on_hand as is_explained,
    cast(lots as int) as lots,
    first_expiry_date,
    cast(expired_on_hand as int) as expired_on_hand,
    cast(expiring_30d_on_hand as int) as expiring_30d_on_hand,
    facility_key is not null as is_facility_resolved,
    known_from,
    available_at,
    usable_at,
    date_format(date, 'yyyy-MM') as month
from expected
