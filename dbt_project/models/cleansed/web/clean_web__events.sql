{{ config(unique_key='message_id') }}

{{ segment_events('web', source('sources', 'raw_web__events')) }}
