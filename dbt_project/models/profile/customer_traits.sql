{{ config(pre_hook="{{ forget_touched_customers() }}") }}

with

records as (
    select * from {{ source('identity', 'customer_map') }}
    {{ of_customers_to_write() }}
),

events as (
    select * from {{ ref('customer_events') }}
    {{ of_customers_to_write() }}
),

receipts as (
    select * from {{ ref('clean_pos__receipts') }}
),

receipt_lines as (
    select * from {{ ref('clean_pos__receipt_lines') }}
),

customers as (
    select distinct customer_id
    from records
),

-- An order counts once, however often its event was sent, by web and app together.
order_events as (
    select
        *,
        row_number() over (
            partition by
                customer_id,
                case when channel = 'pos' then 'pos' else 'digital' end,
                coalesce(order_id, event_id)
            order by occurred_at, channel, event_id
        ) as place
    from events
    where event_type in ('purchase', 'return') and amount is not null
),

orders as (
    select * from order_events
    where place = 1
),

order_totals as (
    select
        customer_id,
        count(*) filter (where event_type = 'purchase') as order_count,
        count(*) filter (where event_type = 'return') as return_count,
        min(occurred_at) filter (where event_type = 'purchase') as first_purchase_at,
        max(occurred_at) filter (where event_type = 'purchase') as last_purchase_at
    from orders
    group by customer_id
),

-- Amounts of several currencies do not add up: the currency of most orders is the customer's.
currency_totals as (
    select
        customer_id,
        currency,
        cast(sum(amount) as decimal(38, 2)) as lifetime_value,
        count(*) filter (where event_type = 'purchase') as order_count,
        row_number() over (
            partition by customer_id
            order by count(*) filter (where event_type = 'purchase') desc, currency
        ) as place
    from orders
    group by customer_id, currency
),

order_counts as (
    select
        customer_id,
        channel,
        count(*) filter (where event_type = 'purchase') as order_count
    from orders
    group by customer_id, channel
),

-- What the customer did, not what was done to the customer: sends and CRM edits are no act.
acts as (
    select
        *,
        channel in ('pos', 'contact_center', 'web', 'mobile')
        or event_type in ('email_open', 'email_click') as is_act
    from events
),

channel_acts as (
    select
        customer_id,
        channel,
        count(*) as event_count,
        count(*) filter (where is_act) as act_count,
        max(case when is_act then occurred_at end) as last_seen_at,
        count(*) filter (where event_type = 'email_send') as email_send_count,
        count(*) filter (where event_type = 'email_open') as email_open_count,
        count(*) filter (where event_type = 'email_click') as email_click_count,
        count(*) filter (where event_type in ('page', 'screen')) as page_view_count
    from acts
    group by customer_id, channel
),

ranked_channels as (
    select
        channel_acts.*,
        row_number() over (
            partition by channel_acts.customer_id
            order by
                coalesce(order_counts.order_count, 0) desc,
                channel_acts.act_count desc,
                channel_acts.channel
        ) as place
    from channel_acts
    left join order_counts
        on
            channel_acts.customer_id = order_counts.customer_id
            and channel_acts.channel = order_counts.channel
),

activity as (
    select
        customer_id,
        cast(sum(event_count) as bigint) as event_count,
        max(last_seen_at) as last_seen_at,
        {% for channel in ['contact_center', 'email', 'mobile', 'pos', 'web'] -%}
        max(case when channel = '{{ channel }}' then last_seen_at end)
            as {{ channel }}_last_seen_at,
        {% endfor -%}
        max(case when place = 1 and act_count > 0 then channel end) as preferred_channel,
        cast(sum(email_send_count) as bigint) as email_send_count,
        cast(sum(email_open_count) as bigint) as email_open_count,
        cast(sum(email_click_count) as bigint) as email_click_count,
        cast(sum(case when channel = 'contact_center' then event_count else 0 end) as bigint)
            as support_contact_count,
        cast(sum(page_view_count) as bigint) as page_view_count
    from ranked_channels
    group by customer_id
),

stores as (
    select
        customer_id,
        detail as store_id,
        row_number() over (partition by customer_id order by count(*) desc, detail) as place
    from orders
    where channel = 'pos' and event_type = 'purchase'
    group by customer_id, detail
),

categories as (
    select
        records.customer_id,
        receipt_lines.category,
        row_number() over (
            partition by records.customer_id
            order by sum(receipt_lines.quantity) desc, receipt_lines.category
        ) as place
    from receipt_lines
    inner join receipts
        on receipt_lines.receipt_id = receipts.receipt_id
    inner join records
        on receipts.record_id = records.record_id
    where receipt_lines.category is not null
    group by records.customer_id, receipt_lines.category
),

final as (
    select
        customers.customer_id,
        currency_totals.currency,
        coalesce(currency_totals.lifetime_value, 0) as lifetime_value,
        -- Both engines divide doubles alike, decimals not.
        cast(currency_totals.lifetime_value as double) / nullif(currency_totals.order_count, 0)
            as average_order_value,
        coalesce(order_totals.order_count, 0) as order_count,
        coalesce(order_totals.return_count, 0) as return_count,
        coalesce(order_totals.order_count, 0) - coalesce(currency_totals.order_count, 0)
            as other_currency_order_count,
        order_totals.first_purchase_at,
        order_totals.last_purchase_at,
        activity.last_seen_at,
        activity.contact_center_last_seen_at,
        activity.email_last_seen_at,
        activity.mobile_last_seen_at,
        activity.pos_last_seen_at,
        activity.web_last_seen_at,
        activity.preferred_channel,
        stores.store_id as preferred_store_id,
        categories.category as preferred_category,
        coalesce(activity.event_count, 0) as event_count,
        coalesce(activity.page_view_count, 0) as page_view_count,
        coalesce(activity.support_contact_count, 0) as support_contact_count,
        coalesce(activity.email_send_count, 0) as email_send_count,
        coalesce(activity.email_open_count, 0) as email_open_count,
        coalesce(activity.email_click_count, 0) as email_click_count
    from customers
    left join activity
        on customers.customer_id = activity.customer_id
    left join order_totals
        on customers.customer_id = order_totals.customer_id
    left join currency_totals
        on customers.customer_id = currency_totals.customer_id and currency_totals.place = 1
    left join stores
        on customers.customer_id = stores.customer_id and stores.place = 1
    left join categories
        on customers.customer_id = categories.customer_id and categories.place = 1
)

select * from final
