{{ config(unique_key='email_event_id') }}

with

source as {{ inlined() }} (
    {{ new_deliveries(source('sources', 'raw_email__events')) }}
),

typed as {{ inlined() }} (
    select
        event_type,
        message_id,
        cast(event_at_utc as timestamp(6)) as event_at,
        cast(sent_at_utc as timestamp(6)) as sent_at,
        recipient_email,
        {{ email_match_key('recipient_email') }} as email_key,
        campaign,
        subject,
        click_link,
        bounce_type,
        complaint_type,
        try_cast(is_unsubscribe_all as boolean) as is_unsubscribe_all,
        {{ delivery_columns() }}
    from source
),

normalised as {{ inlined() }} (
    select
        *,
        {{ surrogate_key(['event_type', 'message_id', epoch_micros('event_at')]) }}
            as email_event_id,
        'email:recipient:' || {{ md5_hex('email_key') }} as record_id
    from typed
),

final as (
    {{ deduplicate(
        'normalised', key=['event_type', 'message_id', 'event_at'], keys_from='typed'
    ) }}
)

select * from final
