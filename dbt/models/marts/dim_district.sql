with

area as (
    select *
    from {{ ref('stg_housing__area') }}
    where not is_withdrawn
),

part as (
    select * from {{ ref('int_postal_district__parted') }}
),

coded as (
    select
        'postal_district' as kind,
        postal_district as code,
        postal_district_name as name,
        postal_sector,
        longitude,
        latitude
    from area
    union all
    select
        'district' as kind,
        district_code as code,
        district_name as name,
        postal_sector,
        longitude,
        latitude
    from area
),

placed as (
    select
        kind,
        code,
        max(name) as name,
        cast(count(*) as int) as sectors,
        round({{ exact_mean('longitude') }}, 4) as longitude,
        round({{ exact_mean('latitude') }}, 4) as latitude
    from coded
    group by kind, code
),

-- What lies inside, by the postal sector it stands in.
thing as (
    select
        postal_sector,
        1 as stations,
        0 as facilities
    from {{ ref('stg_air_quality__station') }}
    where not is_withdrawn
    union all
    select
        postal_sector,
        1 as stations,
        0 as facilities
    from {{ ref('stg_weather__station') }}
    where not is_withdrawn
    union all
    select
        postal_sector,
        0 as stations,
        1 as facilities
    from {{ ref('stg_housing__facility') }}
    where not is_withdrawn
),

inside as (
    select
        coded.kind,
        coded.code,
        sum(thing.stations) as stations,
        sum(thing.facilities) as facilities
    from coded
    inner join thing
        on coded.postal_sector = thing.postal_sector
    group by coded.kind, coded.code
),

overlap as (
    select
        'postal_district' as kind,
        postal_district as code,
        max(case when is_largest then district_code end) as main_district_code,
        max(case when is_largest then share end) as main_district_share,
        array_join(
            array_sort(
                collect_list(concat(district_code, ' ', cast(cast(round(share * 100) as int) as string), '%'))
            ), ', '
        ) as district_shares
    from part
    group by postal_district
),

-- Residents by the register's own yearly figures, the newest; the office counts administrative districts alone.
counted as (
    select
        district_code,
        year,
        residents,
        dwellings,
        crowded_share,
        damp_share,
        row_number() over (partition by district_code order by year desc) as recency
    from {{ ref('stg_housing__district') }}
    where not is_withdrawn
),

-- In postal districts, residents are who is registered there and has not moved out.
registered as (
    select
        coalesce(dwelling.postal_district, residence.postal_district) as postal_district,
        count(*) as residents
    from {{ ref('stg_housing__residence') }} as residence
    left join {{ ref('stg_housing__dwelling') }} as dwelling
        on residence.dwelling_key = dwelling.dwelling_key
    where not residence.is_withdrawn and residence.moved_out_date is null
    group by coalesce(dwelling.postal_district, residence.postal_district)
),

dwelt as (
    select
        postal_district,
        sum(dwellings) as dwellings
    from part
    group by postal_district
)

select
    placed.kind,
    placed.code as area_code,
    placed.name,
    overlap.main_district_code,
    overlap.main_district_share,
    overlap.district_shares,
    cast(coalesce(counted.residents, registered.residents) as int) as residents,
    cast(coalesce(counted.dwellings, dwelt.dwellings) as int) as dwellings,
    counted.year as counted_year,
    counted.crowded_share,
    counted.damp_share,
    placed.longitude,
    placed.latitude,
    placed.sectors,
    cast(coalesce(inside.stations, 0) as int) as stations,
    cast(coalesce(inside.facilities, 0) as int) as facilities
from placed
left join overlap
    on placed.kind = overlap.kind and placed.code = overlap.code
left join inside
    on placed.kind = inside.kind and placed.code = inside.code
left join counted
    on placed.kind = 'district' and placed.code = counted.district_code and counted.recency = 1
left join registered
    on placed.kind = 'postal_district' and placed.code = registered.postal_district
left join dwelt
    on placed.kind = 'postal_district' and placed.code = dwelt.postal_district
