{{ config(materialized='view') }}

with shared_identifiers as (
    select * from {{ ref('shared_identifiers') }}
),

final as (
    select
        identifier_type,
        identifier_value,
        reason,
        note,
        record_count,
        people_count
    from shared_identifiers
    where reason is not null
)

select * from final
