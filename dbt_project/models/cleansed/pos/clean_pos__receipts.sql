{{ config(unique_key='receipt_id') }}

{%- set blocked = blocked_patterns() %}

with

source as {{ inlined() }} (
    {{ new_deliveries(source('sources', 'raw_pos__receipts')) }}
),

deliveries as (
    {{ collapse_deliveries('source', key=['receipt_id']) }}
),

countries as (
    select * from {{ ref('countries') }}
),

typed as (
    select
        receipt_id,
        store_id,
        register_id,
        cast(sold_at_utc as timestamp(6)) as sold_at,
        country,
        currency,
        try_cast(total_amount as decimal(18, 2)) as total_amount,
        payment_method,
        loyalty_id,
        email,
        {{ email_match_key('email') }} as email_key,
        phone,
        phone_e164,
        card_token,
        {{ delivery_columns() }}
    from deliveries
),

normalised as (
    select
        typed.*,
        countries.alpha2 as country_code,
        'pos:party:' || {{ party_key([
            telling('typed.loyalty_id', 'loyalty_id', blocked),
            telling('typed.email_key', 'email', blocked),
            telling('typed.phone_e164', 'phone', blocked),
            telling('typed.card_token', 'card_token', blocked),
        ]) }} as record_id
    from typed
    left join countries
        on {{ country_lookup_key('typed.country') }} = countries.name
),

final as (
    {{ merge_with_present('normalised', key=['receipt_id']) }}
)

select * from final
