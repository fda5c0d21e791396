-- Beds, staff, stock and sales of each facility and day that anything is told of. Whoever is on two wards in one shift
-- is on duty once.
{%- set parts = [
    {'name': 'bed', 'by_name': true, 'columns': ['beds', 'beds_occupied', 'beds_free', 'beds_closed']},
    {
        'name': 'duty', 'by_name': true,
        'columns': ['staff_on_duty', 'doctors_on_duty', 'nurses_on_duty', 'staff_sick'],
    },
    {
        'name': 'stock', 'by_name': false,
        'columns': ['stock_items', 'stock_items_out', 'packs_on_hand', 'packs_delivered'],
    },
    {'name': 'sale', 'by_name': false, 'columns': ['packs_dispensed']},
] -%}
{%- set columns = parts | map(attribute='columns') | sum(start=[]) %}
with

named as (
    select * from {{ ref('int_house__named') }}
    where facility_key is not null
),

bed as (
    select
        hospital_id as told_id,
        report_date as date,
        count(*) as beds,
        sum(case when state = 'occupied' then 1 else 0 end) as beds_occupied,
        sum(case when state = 'free' then 1 else 0 end) as beds_free,
        sum(case when state = 'closed' then 1 else 0 end) as beds_closed
    from {{ ref('stg_hospital_resources__bed') }}
    where not is_withdrawn
    group by hospital_id, report_date
),

shift as (
    select
        roster.hospital_id as told_id,
        {{ local_date('roster.began_at', "'second'", 'roster.source') }} as date,
        roster.staff_key,
        staff.role,
        coalesce(roster.is_sick, false) as is_sick
    from {{ ref('stg_hospital_resources__roster') }} as roster
    left join {{ ref('stg_hospital_resources__staff') }} as staff
        on roster.staff_key = staff.staff_key and not staff.is_withdrawn
    where not roster.is_withdrawn
),

duty as (
    select
        told_id,
        date,
        count(distinct case when not is_sick then staff_key end) as staff_on_duty,
        count(distinct case when not is_sick and role = 'doctor' then staff_key end) as doctors_on_duty,
        count(distinct case when not is_sick and role = 'nurse' then staff_key end) as nurses_on_duty,
        count(distinct case when is_sick then staff_key end) as staff_sick
    from shift
    group by told_id, date
),

stock as (
    select
        facility_key,
        date,
        count(*) as stock_items,
        sum(case when on_hand = 0 then 1 else 0 end) as stock_items_out,
        sum(case when counted_in = 'packs' then on_hand end) as packs_on_hand,
        sum(delivered) as packs_delivered
    from {{ ref('fct_stock_daily') }}
    where facility_key is not null
    group by facility_key, date
),

sale as (
    select
        facility_key,
        dispensed_date as date,
        sum(quantity) as packs_dispensed
    from {{ ref('fct_dispense') }}
    where
        told_by = 'pharmacy'
        and facility_key is not null
        and dispensed_at <= known_from
    group by facility_key, dispensed_date
),

told as (
    {% for part in parts %}
        select
            {{ 'named' if part.by_name else 'told' }}.facility_key,
            told.date,
            {%- for column in columns %}
                {{ ('told.' ~ column) if column in part.columns else 'cast(null as bigint)' }} as {{ column }}
                {%- if not loop.last %},{% endif %}
            {%- endfor %}
        from {{ part.name }} as told
        {% if part.by_name %}inner join named on told.told_id = named.told_id{% endif %}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

daily as (
    select
        facility_key,
        date,
        {%- for column in columns %}
            sum({{ column }}) as {{ column }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from told
    where facility_key is not null and date is not null
    group by facility_key, date
)

select
    daily.facility_key,
    facility.source,
    daily.date,
    {%- for column in columns %}
        cast(daily.{{ column }} as int) as {{ column }}{% if not loop.last %},{% endif %}
    {%- endfor %}
from daily
inner join {{ ref('dim_facility') }} as facility
    on daily.facility_key = facility.facility_key
