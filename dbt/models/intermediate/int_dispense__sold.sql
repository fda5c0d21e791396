-- What pharmacies tell of what they handed out, and what of it counts. A sale is posted twice where the same customer
-- is sold the same packs on the same prescription in the same shop within five minutes, and neither is taken back.
-- Of a sale no more is taken back than was sold: its reversals count in order of time, and what they tell beyond that
-- has been told before.
with

dispense as (
    select *
    from {{ ref('stg_pharmacy__dispense') }}
    where not is_withdrawn
),

article_told as (
    select
        *,
        count(*) over (partition by source, article_name) as namesakes
    from {{ ref('int_article__coded') }}
),

-- By its number; a keeper that writes names instead is understood where a name is one number's.
article as (
    select
        source,
        article_no,
        code,
        name,
        strength,
        unit,
        pack_size,
        looked_up_as
    from article_told
        lateral view explode(
            array(concat('number ', article_no), case when namesakes = 1 then concat('name ', article_name) end)
        ) exploded as looked_up_as
),

described as (
    select
        dispense.dispense_key,
        dispense.source,
        dispense.facility_key,
        dispense.customer_key,
        dispense.prescription_key,
        coalesce(dispense.article_no, article.article_no) as article_no,
        article.article_no is not null as is_article_known,
        {{ atc_system() }} as code_system,
        coalesce(dispense.atc_code, article.code) as code,
        coalesce(article.name, substring_index(dispense.article_name, ', ', 1)) as name,
        coalesce(dispense.strength, article.strength) as strength,
        coalesce(dispense.unit, article.unit) as unit,
        article.pack_size,
        dispense.quantity,
        dispense.days_supply,
        dispense.unit_price_eur,
        dispense.dispensed_at,
        dispense.reverses_key,
        dispense.is_reversal,
        dispense.version_at,
        dispense.known_from,
        dispense.available_at,
        dispense.usable_at,
        dispense.content_hash,
        dispense.month
    from dispense
    left join article
        on
            dispense.source = article.source
            and coalesce(concat('number ', dispense.article_no), concat('name ', dispense.article_name))
            = article.looked_up_as
),

reversal as (
    select
        reversal.dispense_key,
        reversal.source,
        reversal.reverses_key,
        reversal.dispensed_at,
        sold.quantity as quantity_sold,
        sum(reversal.quantity) over (
            partition by reversal.source, reversal.reverses_key
            order by reversal.dispensed_at, reversal.dispense_key
        ) as quantity_so_far
    from dispense as reversal
    inner join dispense as sold
        on reversal.source = sold.source and reversal.reverses_key = sold.dispense_key
    where reversal.is_reversal
),

bounded as (
    select
        *,
        greatest(least(quantity_so_far, greatest(-quantity_sold, 0)), least(-quantity_sold, 0)) as quantity_back
    from reversal
),

counted as (
    select
        dispense_key,
        source,
        reverses_key,
        cast(
            quantity_back - coalesce(
                lag(quantity_back) over (partition by source, reverses_key order by dispensed_at, dispense_key), 0
            ) as int
        ) as quantity
    from bounded
),

taken_back as (
    select
        source,
        reverses_key,
        cast(sum(quantity) as int) as quantity_taken_back
    from counted
    group by source, reverses_key
),

sale as (
    select
        dispense.dispense_key,
        dispense.dispensed_at,
        lag(dispense.dispensed_at) over (
            partition by
                dispense.source,
                dispense.pharmacy_id,
                dispense.customer_key,
                dispense.prescription_key,
                dispense.article_no,
                dispense.article_name,
                dispense.quantity
            order by dispense.dispensed_at, dispense.dispense_key
        ) as previous_at
    from dispense
    left anti join taken_back
        on dispense.source = taken_back.source and dispense.dispense_key = taken_back.reverses_key
    where not dispense.is_reversal and dispense.customer_key is not null
),

repeated as (
    select dispense_key
    from sale
    where unix_micros(dispensed_at) - unix_micros(previous_at) <= 300000000
),

told as (
    select
        described.*,
        taken_back.quantity_taken_back,
        counted.dispense_key is not null as is_sale_known,
        case
            when described.is_reversal then coalesce(counted.quantity, 0)
            else described.quantity
        end as quantity_counted,
        coalesce(repeated.dispense_key is not null or counted.quantity = 0, false) as is_repeated
    from described
    left join taken_back
        on described.source = taken_back.source and described.dispense_key = taken_back.reverses_key
    left join repeated
        on described.dispense_key = repeated.dispense_key
    left join counted
        on described.dispense_key = counted.dispense_key
),

judged as (
    {{ with_atc('told') }}
)

select
    judged.dispense_key,
    judged.source,
    judged.facility_key,
    judged.customer_key,
    judged.prescription_key,
    judged.article_no,
    judged.is_article_known,
    judged.code_system,
    judged.code,
    judged.atc_code,
    judged.concept,
    judged.name,
    judged.strength,
    judged.unit,
    judged.pack_size,
    judged.quantity as quantity_posted,
    case when judged.is_repeated then 0 else judged.quantity_counted end as quantity,
    case
        when judged.is_repeated or judged.is_reversal then 0
        else judged.quantity + coalesce(judged.quantity_taken_back, 0)
    end as quantity_kept,
    judged.days_supply,
    judged.unit_price_eur,
    judged.dispensed_at,
    {{ local_date('judged.dispensed_at', "'second'", 'judged.source') }} as dispensed_date,
    judged.is_reversal,
    judged.quantity_taken_back is not null as is_reversed,
    judged.is_repeated,
    judged.reverses_key,
    case when judged.is_reversal then judged.is_sale_known end as is_sale_resolved,
    judged.version_at,
    judged.known_from,
    judged.available_at,
    judged.usable_at,
    judged.content_hash,
    judged.month
from judged
