{{ config(materialized='table', post_hook="{{ forget_applied_rules() }}") }}

{%- set entities = [
    'contact_center__contacts',
    'crm__contacts',
    'email__events',
    'mobile__events',
    'pos__receipt_lines',
    'pos__receipts',
    'web__events',
] %}

with applied_loads as (
    select * from {{ ref('applied_loads') }}
),

applied_rules as (
    select * from {{ ref('applied_rules') }}
),

loads as (
    {% for entity in entities %}
    select
        '{{ entity }}' as entity,
        coalesce(max(rows_of._load_id), 0) as load_id,
        {{ "0" if entity == 'pos__receipt_lines' else
            "coalesce(max(case when rows_of._moved_from = '*' then rows_of._load_id end), 0)" }} as lost_load_id,
        count(*) as row_count,
        count(case when rows_of._load_id > coalesce(applied.load_id, 0) then 1 end) as new_count
    from {{ ref('clean_' ~ entity) }} as rows_of
    left join applied_loads as applied on applied.entity = '{{ entity }}'
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

compared as (
    select
        loads.entity,
        coalesce(applied_loads.load_id, 0) as since_load_id,
        loads.load_id,
        -- A row that changed hands twice since then: the record in between is not known.
        loads.lost_load_id > coalesce(applied_loads.load_id, 0) as has_lost_record,
        loads.row_count,
        loads.new_count
    from loads
    left join applied_loads on loads.entity = applied_loads.entity
),

final as (
    select
        entity,
        since_load_id,
        load_id,
        {{ 'true' if flags.FULL_REFRESH else 'false' }}
        or bool_or(has_lost_record) over ()
        or max(since_load_id) over () = 0
        -- Where most is new, looking for what is not costs more than building all of it.
        or (
            sum(new_count) over () > 200000
            and 2 * sum(new_count) over () > sum(row_count) over ()
        )
        or not exists (
            select 1 from applied_rules
            where applied_rules.fingerprint = '{{ rules_fingerprint() }}'
        ) as is_rebuild,
        '{{ rules_fingerprint() }}' as fingerprint
    from compared
)

select * from final
