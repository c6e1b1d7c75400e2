{{ config(unique_key='email_event_id') }}

with

source as {{ inlined() }} (
    {{ new_deliveries(source('sources', 'raw_email__events')) }}
),

deliveries as (
    {{ collapse_deliveries('source', key=['event_type', 'message_id', 'event_at_utc']) }}
),

typed as (
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
        {{ to_boolean('is_unsubscribe_all') }} as is_unsubscribe_all,
        {{ delivery_columns() }}
    from deliveries
),

normalised as (
    select
        *,
        {{ surrogate_key(['event_type', 'message_id', epoch_micros('event_at')]) }}
            as email_event_id,
        'email:recipient:' || {{ md5_hex('email_key') }} as record_id
    from typed
),

final as (
    {{ merge_with_present('normalised', key=['event_type', 'message_id', 'event_at']) }}
)

select * from final
