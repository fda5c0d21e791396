-- One row per part: what a postal district and an administrative district have in common.
-- Share: of the postal district's dwellings, where the register knows any; else of its sectors.
with

area as (
    select
        postal_district,
        district_code,
        count(*) as sectors,
        avg(longitude) as longitude,
        avg(latitude) as latitude
    from {{ ref('stg_housing__area') }}
    where not is_withdrawn
    group by postal_district, district_code
),

dwelling as (
    select
        postal_district,
        district_code,
        count(*) as dwellings
    from {{ ref('stg_housing__dwelling') }}
    where not is_withdrawn
    group by postal_district, district_code
),

part as (
    select
        area.postal_district,
        area.district_code,
        area.sectors,
        area.longitude,
        area.latitude,
        coalesce(dwelling.dwellings, 0) as dwellings,
        sum(coalesce(dwelling.dwellings, 0)) over (partition by area.postal_district) as all_dwellings,
        sum(area.sectors) over (partition by area.postal_district) as all_sectors
    from area
    left join dwelling
        on
            area.postal_district = dwelling.postal_district
            and area.district_code = dwelling.district_code
),

shared as (
    select
        *,
        round(
            case
                when all_dwellings > 0 then dwellings / cast(all_dwellings as double)
                else sectors / cast(all_sectors as double)
            end, 4
        ) as share
    from part
)

select
    postal_district,
    district_code,
    sectors,
    longitude,
    latitude,
    dwellings,
    share,
    row_number() over (
        partition by postal_district order by share desc, sectors desc, district_code asc
    ) = 1 as is_largest
from shared
