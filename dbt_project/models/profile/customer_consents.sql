{{ config(pre_hook="{{ forget_touched_customers() }}") }}

with

records as (
    select * from {{ source('identity', 'customer_map') }}
    {{ of_customers_to_write() }}
),

identifiers as (
    select * from {{ ref('customer_identifiers') }}
    {{ of_customers_to_write() }}
),

crm_contacts as (
    select * from {{ ref('clean_crm__contacts') }}
),

email_events as (
    select * from {{ ref('clean_email__events') }}
),

digital_events as (
    {% for source in ['web', 'mobile'] -%}
    select
        '{{ source }}' as source,
        record_id,
        occurred_at,
        is_analytics_allowed,
        is_advertising_allowed
    from {{ ref('clean_' ~ source ~ '__events') }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

-- Per record: when its source last denied, last allowed, and when a permission lapsed with the
-- contact it came from. A denial outlives the deletion of its contact.
crm_moments as (
    select
        record_id,
        max(case when is_email_opted_out then modified_at end) as email_denied_at,
        max(case when not is_email_opted_out and not is_deleted then modified_at end)
            as email_allowed_at,
        max(case when is_call_opted_out then modified_at end) as phone_denied_at,
        max(case when not is_call_opted_out and not is_deleted then modified_at end)
            as phone_allowed_at,
        max(case when is_deleted then modified_at end) as lapsed_at
    from crm_contacts
    where record_id in (select records.record_id from records)
    group by record_id
),

digital_moments as (
    select
        record_id,
        max(source) as source,
        max(case when not is_analytics_allowed then occurred_at end) as analytics_denied_at,
        max(case when is_analytics_allowed then occurred_at end) as analytics_allowed_at,
        max(case when not is_advertising_allowed then occurred_at end) as advertising_denied_at,
        max(case when is_advertising_allowed then occurred_at end) as advertising_allowed_at
    from digital_events
    where
        record_id in (select records.record_id from records)
        and (is_analytics_allowed is not null or is_advertising_allowed is not null)
    group by record_id
),

addresses as (
    select
        customer_id,
        identifier_value as email_key
    from identifiers
    where identifier_type = 'email'
),

-- Also of mailboxes that belong to none of these customers: see `heard`.
email_moments as (
    select
        record_id,
        email_key,
        max(case when event_type = 'Bounce' then event_at end) as bounced_at,
        max(case when event_type = 'Complaint' then event_at end) as complained_at,
        max(case when event_type = 'Subscription' and is_unsubscribe_all then event_at end)
            as unsubscribed_at,
        max(case when event_type = 'Subscription' and not is_unsubscribe_all then event_at end)
            as resubscribed_at
    from email_events
    where
        email_key in (select addresses.email_key from addresses)
        and (
            (event_type = 'Bounce' and bounce_type = 'Permanent')
            or event_type in ('Complaint', 'Subscription')
        )
    group by record_id, email_key
),

email_denials as (
    select
        *,
        {{ latest('bounced_at', 'complained_at', 'unsubscribed_at') }} as denied_at
    from email_moments
),

moments as (
    select
        record_id,
        'crm' as source,
        'email_marketing' as purpose,
        email_denied_at as denied_at,
        email_allowed_at as allowed_at,
        lapsed_at,
        'opted_out' as denial_reason,
        'not_opted_out' as permission_reason
    from crm_moments

    union all

    select
        record_id,
        'crm' as source,
        'phone_marketing' as purpose,
        phone_denied_at as denied_at,
        phone_allowed_at as allowed_at,
        lapsed_at,
        'opted_out' as denial_reason,
        'not_opted_out' as permission_reason
    from crm_moments

    union all

    select
        record_id,
        'email' as source,
        'email_marketing' as purpose,
        denied_at,
        resubscribed_at as allowed_at,
        null as lapsed_at,
        case denied_at
            when complained_at then 'complaint'
            when unsubscribed_at then 'unsubscribed'
            else 'hard_bounce'
        end as denial_reason,
        'resubscribed' as permission_reason
    from email_denials

    union all

    select
        record_id,
        source,
        'analytics' as purpose,
        analytics_denied_at as denied_at,
        analytics_allowed_at as allowed_at,
        null as lapsed_at,
        'consent_refused' as denial_reason,
        'consent_given' as permission_reason
    from digital_moments

    union all

    select
        record_id,
        source,
        'advertising' as purpose,
        advertising_denied_at as denied_at,
        advertising_allowed_at as allowed_at,
        null as lapsed_at,
        'consent_refused' as denial_reason,
        'consent_given' as permission_reason
    from digital_moments
),

-- Each record speaks once per purpose, with its newest word; at the same moment denial wins.
verdicts as (
    select
        record_id,
        source,
        purpose,
        false as is_allowed,
        denial_reason as reason,
        denied_at as decided_at
    from moments
    where denied_at is not null and (allowed_at is null or denied_at >= allowed_at)

    union all

    select
        record_id,
        source,
        purpose,
        true as is_allowed,
        permission_reason as reason,
        allowed_at as decided_at
    from moments
    where
        allowed_at is not null
        and (denied_at is null or allowed_at > denied_at)
        and (lapsed_at is null or allowed_at > lapsed_at)
),

-- A mailbox that several people share is a customer of its own, or nobody's. Its denial is one of
-- the address, and reaches everyone who has that; its permission is nobody else's.
heard as (
    select
        records.customer_id,
        verdicts.*
    from verdicts
    inner join records
        on verdicts.record_id = records.record_id

    union all

    select
        addresses.customer_id,
        verdicts.*
    from verdicts
    inner join email_moments
        on verdicts.record_id = email_moments.record_id
    inner join addresses
        on email_moments.email_key = addresses.email_key
    where not verdicts.is_allowed
),

-- Any denial on any record decides for the customer.
ranked as (
    select
        *,
        row_number() over (
            partition by customer_id, purpose
            order by
                is_allowed,
                decided_at desc,
                source,
                record_id
        ) as place
    from heard
),

customers as (
    select distinct customer_id
    from records
),

purposes as (
    {% for purpose in ['advertising', 'analytics', 'email_marketing', 'phone_marketing'] -%}
    select '{{ purpose }}' as purpose
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}
),

final as (
    select
        customers.customer_id,
        purposes.purpose,
        coalesce(ranked.is_allowed, false) as is_allowed,
        coalesce(ranked.reason, 'no_evidence') as reason,
        ranked.source,
        ranked.record_id,
        ranked.decided_at
    from customers
    cross join purposes
    left join ranked
        on
            customers.customer_id = ranked.customer_id
            and purposes.purpose = ranked.purpose
            and ranked.place = 1
)

select * from final
