-- Which hospital those mean who report resources, and the city's register of places. A hospital is its one organization
-- that is part of no other; where there are several, nobody can say which.
with

house as (
    select
        code as told_id,
        concept as source
    from {{ source('rules', 'code_meaning') }}
    where map = 'house'
),

organization as (
    select
        source,
        min(organization_key) as organization_key
    from {{ ref('stg_hospital__organization') }}
    where
        not is_withdrawn
        and part_of_key is null
    group by source
    having count(*) = 1
)

select
    house.told_id,
    house.source,
    organization.organization_key as facility_key
from house
left join organization
    on house.source = organization.source
