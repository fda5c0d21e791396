-- One row per person and month of fct_exposure_daily, with a fingerprint of what its rows follow from: the periods
-- lived in one place, in the month or the six days before it, and what there was in that place.
with

calendar as (
    select
        min(date) as first_date,
        max(date) as last_date
    from {{ ref('agg_sector_daily') }}
),

-- A day counts in the month of the sixth day after it, too.
place_day as (
    select
        place.postal_district,
        place.district_code,
        place.fingerprint,
        explode(
            array_distinct(array(date_format(place.date, 'yyyy-MM'), date_format(date_add(place.date, 6), 'yyyy-MM')))
        ) as month
    from (
        select
            postal_district,
            district_code,
            date,
            {{ fingerprint(exposure_inputs()) }} as fingerprint
        from {{ ref('int_place__exposed') }}
    ) as place
),

place as (
    select
        postal_district,
        district_code,
        month,
        bit_xor(fingerprint) as fingerprint
    from place_day
    group by postal_district, district_code, month
),

resided as (
    select
        resided.*,
        calendar.last_date as last_day,
        greatest(resided.first_date, calendar.first_date) as from_date,
        least(resided.last_date, calendar.last_date) as to_date
    from {{ ref('int_person__resided') }} as resided
    cross join calendar
    where resided.first_date <= calendar.last_date and resided.last_date >= calendar.first_date
),

monthly as (
    select
        *,
        explode(
            sequence(trunc(from_date, 'MM'), trunc(least(date_add(to_date, 6), last_day), 'MM'), interval 1 month)
        ) as first_of_month
    from resided
),

lived as (
    select
        monthly.*,
        date_format(monthly.first_of_month, 'yyyy-MM') as month,
        greatest(monthly.from_date, date_sub(monthly.first_of_month, 6)) as lived_from,
        least(monthly.to_date, last_day(monthly.first_of_month)) as lived_to
    from monthly
)

select
    lived.person_key,
    lived.month,
    bit_xor(
        {{ fingerprint([
            'lived.lived_from', 'lived.lived_to', 'lived.postal_district', 'lived.district_code',
            'lived.place_precision', 'lived.place_first_date', 'lived.built_year', 'lived.is_damp', 'lived.heating',
            'lived.energy_class', 'lived.residents_per_room', 'place.fingerprint',
        ]) }}
    ) as inputs_fingerprint
from lived
left join place
    on
        lived.postal_district = place.postal_district
        and lived.district_code = place.district_code
        and lived.month = place.month
group by lived.person_key, lived.month
having max(lived.lived_to) >= min(lived.first_of_month)
