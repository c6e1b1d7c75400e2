{{ config(pre_hook="{{ forget_touched_customers() }}") }}

with

records as (
    select * from {{ source('identity', 'customer_map') }}
    {{ of_customers_to_write() }}
),

crm_contacts as (
    select * from {{ ref('clean_crm__contacts') }}
),

receipts as (
    select * from {{ ref('clean_pos__receipts') }}
),

support_contacts as (
    select * from {{ ref('clean_contact_center__contacts') }}
),

email_events as (
    select * from {{ ref('clean_email__events') }}
),

digital_events as (
    {% for channel in ['web', 'mobile'] -%}
    select
        '{{ channel }}' as channel,
        message_id,
        record_id,
        call_type,
        event_name,
        page_path,
        order_id,
        order_total,
        currency,
        occurred_at,
        call_type = 'track' and event_name = 'Order Completed' as is_order,
        dt
    from {{ ref('clean_' ~ channel ~ '__events') }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

events as (
    select
        contact_version_id as event_id,
        record_id,
        'crm' as channel,
        case when is_deleted then 'contact_deleted' else 'contact_saved' end as event_type,
        modified_at as occurred_at,
        cast(null as decimal(18, 2)) as amount,
        cast(null as varchar) as currency,
        cast(null as varchar) as order_id,
        cast(null as varchar) as detail,
        dt
    from crm_contacts

    union all

    select
        receipt_id as event_id,
        record_id,
        'pos' as channel,
        case when total_amount < 0 then 'return' else 'purchase' end as event_type,
        sold_at as occurred_at,
        total_amount as amount,
        currency,
        receipt_id as order_id,
        store_id as detail,
        dt
    from receipts

    union all

    select
        contact_id as event_id,
        record_id,
        'contact_center' as channel,
        'support_' || lower(channel) as event_type,
        initiated_at as occurred_at,
        null as amount,
        null as currency,
        null as order_id,
        reason as detail,
        dt
    from support_contacts

    union all

    select
        email_event_id as event_id,
        record_id,
        'email' as channel,
        'email_' || lower(event_type) as event_type,
        event_at as occurred_at,
        null as amount,
        null as currency,
        null as order_id,
        campaign as detail,
        dt
    from email_events

    union all

    select
        message_id as event_id,
        record_id,
        channel,
        case when is_order then 'purchase' else call_type end as event_type,
        occurred_at,
        case when is_order then order_total end as amount,
        case when is_order then currency end as currency,
        order_id,
        case when call_type = 'track' then event_name else coalesce(page_path, event_name) end
            as detail,
        dt
    from digital_events
),

final as (
    select
        records.customer_id,
        events.*
    from events
    inner join records
        on events.record_id = records.record_id
)

select * from final
