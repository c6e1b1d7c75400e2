{# The cleansed events of one channel that speaks the Segment spec: web and mobile differ in nothing
   but their name.

   channel: 'web' or 'mobile'.  raw_events: the channel's source relation. #}
{% macro segment_events(channel, raw_events) -%}
{%- set blocked = blocked_patterns() -%}

with

source as {{ inlined() }} (
    {{ new_deliveries(raw_events) }}
),

deliveries as (
    {{ collapse_deliveries('source', key=['message_id']) }}
),

nicknames as (
    select * from {{ ref('nicknames') }}
),

countries as (
    select * from {{ ref('countries') }}
),

typed as (
    select
        message_id,
        call_type,
        anonymous_id,
        user_id,
        previous_id,
        group_id,
        event_name,
        cast(occurred_at_utc as timestamp(6)) as occurred_at,
        cast(sent_at_utc as timestamp(6)) as sent_at,
        cast(received_at_utc as timestamp(6)) as received_at,
        email,
        phone,
        phone_e164,
        first_name,
        last_name,
        try_cast(birth_date as date) as birth_date,
        loyalty_id,
        country,
        device_id,
        device_type,
        page_path,
        order_id,
        try_cast(order_total as decimal(18, 2)) as order_total,
        currency,
        {{ to_boolean('is_analytics_allowed') }} as is_analytics_allowed,
        {{ to_boolean('is_advertising_allowed') }} as is_advertising_allowed,
        properties,
        {{ fold_name('first_name') }} as first_name_folded,
        {{ fold_name('last_name') }} as last_name_folded,
        {{ delivery_columns() }}
    from deliveries
),

normalised as (
    select
        typed.*,
        coalesce(
            '{{ channel }}:login:' || {{ telling('typed.user_id', 'user_id', blocked) }},
            '{{ channel }}:device:' || {{ telling('typed.anonymous_id', 'device_id', blocked) }}
        ) as record_id,
        coalesce(nicknames.canonical_name, {{ first_word('typed.first_name_folded') }})
            as first_name_key,
        {{ email_match_key('typed.email') }} as email_key,
        countries.alpha2 as country_code
    from typed
    left join nicknames
        on {{ first_word('typed.first_name_folded') }} = nicknames.name
    left join countries
        on {{ country_lookup_key('typed.country') }} = countries.name
),

final as (
    {{ merge_with_present('normalised', key=['message_id']) }}
)

select * from final
{%- endmacro %}
