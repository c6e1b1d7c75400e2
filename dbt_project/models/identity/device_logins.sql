{{ config(materialized='view') }}

with identifiers as (
    select * from {{ ref('identifiers') }}
),

final as (
    select
        identifier_value as device_id,
        record_id as login_record_id,
        split_part(record_id, ':login:', 2) as user_id,
        source,
        first_seen_at,
        last_seen_at
    from identifiers
    where
        is_current
        and identifier_type = 'device_id'
        and split_part(record_id, ':', 2) = 'login'
)

select * from final
