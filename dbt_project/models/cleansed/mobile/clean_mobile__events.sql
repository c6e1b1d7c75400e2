{{ config(unique_key='message_id') }}

{{ segment_events('mobile', source('sources', 'raw_mobile__events')) }}
