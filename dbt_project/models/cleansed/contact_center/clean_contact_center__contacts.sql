{{ config(unique_key='contact_id') }}

{%- set blocked = blocked_patterns() %}

with

source as {{ inlined() }} (
    {{ new_deliveries(source('sources', 'raw_contact_center__contacts')) }}
),

deliveries as (
    {{ collapse_deliveries('source', key=['contact_id'], version='updated_at_utc') }}
),

nicknames as (
    select * from {{ ref('nicknames') }}
),

typed as (
    select
        contact_id,
        channel,
        initiation_method,
        cast(initiated_at_utc as timestamp(6)) as initiated_at,
        cast(disconnected_at_utc as timestamp(6)) as disconnected_at,
        cast(updated_at_utc as timestamp(6)) as updated_at,
        endpoint_type,
        endpoint_address,
        case
            when endpoint_type = 'EMAIL_ADDRESS' then {{ email_match_key('endpoint_address') }}
        end as endpoint_email_key,
        endpoint_address_e164 as endpoint_e164,
        queue_name,
        agent_username,
        try_cast(handle_seconds as bigint) as handle_seconds,
        verified_first_name,
        verified_last_name,
        {{ fold_name('verified_first_name') }} as first_name_folded,
        {{ fold_name('verified_last_name') }} as last_name_folded,
        loyalty_id,
        reason,
        {{ delivery_columns() }}
    from deliveries
),

named as (
    select
        typed.*,
        coalesce(nicknames.canonical_name, {{ first_word('typed.first_name_folded') }})
            as first_name_key
    from typed
    left join nicknames
        on {{ first_word('typed.first_name_folded') }} = nicknames.name
),

normalised as (
    select
        *,
        -- A shared phone line gives one caller per first name.
        'contact_center:caller:' || {{ party_key(
            [
                telling('endpoint_email_key', 'email', blocked),
                telling('endpoint_e164', 'phone', blocked),
                telling('loyalty_id', 'loyalty_id', blocked),
            ],
            ['first_name_key']
        ) }} as record_id
    from named
),

final as (
    {{ merge_with_present('normalised', key=['contact_id'], version='updated_at') }}
)

select * from final
