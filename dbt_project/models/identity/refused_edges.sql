{{ config(materialized='view') }}

with edge_candidates as (
    select * from {{ ref('edge_candidates') }}
    where reason is not null
),

vetoed as (
    select * from {{ ref('match_pairs') }}
    where band = 'vetoed'
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
    union all
    select
        left_record_id,
        right_record_id,
        veto as reason,
        'probabilistic' as rule,
        model_version as rule_version,
        2 as tier,
        cast(null as varchar) as identifier_type,
        cast(null as varchar) as identifier_value,
        first_seen_at
    from vetoed
)

select * from final
