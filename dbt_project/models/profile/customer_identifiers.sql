{{ config(pre_hook="{{ forget_touched_customers() }}") }}

with

records as (
    select * from {{ source('identity', 'customer_map') }}
    {{ of_customers_to_write() }}
),

identifiers as (
    select * from {{ ref('identifiers') }}
    where is_current
),

final as (
    select
        records.customer_id,
        identifiers.identifier_type,
        identifiers.identifier_value,
        count(*) as record_count,
        min(identifiers.first_seen_at) as first_seen_at,
        max(identifiers.last_seen_at) as last_seen_at
    from identifiers
    inner join records
        on identifiers.record_id = records.record_id
    group by
        records.customer_id,
        identifiers.identifier_type,
        identifiers.identifier_value
)

select * from final
