{{ config(materialized='view') }}

with edge_candidates as (
    select * from {{ ref('edge_candidates') }}
),

final as (
    select
        left_record_id,
        right_record_id,
        reason,
        rule,
        '{{ identity_rule_version() }}' as rule_version,
        tier,
        identifier_type,
        identifier_value,
        first_seen_at
    from edge_candidates
    where reason is not null
)

select * from final
