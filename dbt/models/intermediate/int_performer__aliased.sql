-- Practitioners under the keys that a performer may be told by: their own, and those of their roles.
with

practitioner as (
    select
        alias_key,
        practitioner_key
    from {{ ref('int_practitioner__aliased') }}
),

role as (
    select
        practitioner_role_key,
        practitioner_key
    from {{ ref('stg_hospital__practitioner_role') }}
    where not is_withdrawn
)

select
    alias_key,
    practitioner_key
from practitioner
union all
select
    role.practitioner_role_key as alias_key,
    practitioner.practitioner_key
from role
inner join practitioner
    on role.practitioner_key = practitioner.alias_key
