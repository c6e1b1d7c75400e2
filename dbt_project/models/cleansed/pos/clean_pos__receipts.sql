{{ config(unique_key='receipt_id') }}

with

source as {{ inlined() }} (
    {{ new_deliveries(source('sources', 'raw_pos__receipts')) }}
),

countries as (
    select * from {{ ref('countries') }}
),

typed as {{ inlined() }} (
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
    from source
),

normalised as {{ inlined() }} (
    select
        typed.*,
        countries.alpha2 as country_code,
        case
            when coalesce(typed.loyalty_id, typed.email_key, typed.phone_e164, typed.card_token)
                is not null
                then 'pos:party:' || {{ surrogate_key([
                    'typed.loyalty_id', 'typed.email_key', 'typed.phone_e164', 'typed.card_token'
                ]) }}
        end as record_id
    from typed
    left join countries
        on {{ country_lookup_key('typed.country') }} = countries.name
),

final as (
    {{ deduplicate('normalised', key=['receipt_id'], keys_from='typed') }}
)

select * from final
