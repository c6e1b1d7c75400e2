{{ config(materialized='view') }}

with edge_candidates as (
    select * from {{ ref('edge_candidates') }}
    where reason is null
),

-- A deleted record follows its strongest identifier alone, so that it never joins two others.
placed_leaves as (
    select
        *,
        row_number() over (
            partition by right_record_id
            order by tier, score desc, identifier_type, identifier_value, left_record_id
        ) as place
    from edge_candidates
    where is_leaf
),

chosen as (
    select
        left_record_id,
        right_record_id,
        rule,
        tier,
        score,
        identifier_type,
        identifier_value,
        first_seen_at
    from edge_candidates
    where not is_leaf
    union all
    select
        left_record_id,
        right_record_id,
        rule,
        tier,
        score,
        identifier_type,
        identifier_value,
        first_seen_at
    from placed_leaves
    where place = 1
),

probable as (
    select * from {{ ref('match_pairs') }}
    where band = 'auto'
),

final as (
    select
        left_record_id,
        right_record_id,
        rule,
        '{{ identity_rule_version() }}' as rule_version,
        tier,
        score,
        identifier_type,
        identifier_value,
        first_seen_at
    from chosen
    union all
    select
        left_record_id,
        right_record_id,
        'probabilistic' as rule,
        model_version as rule_version,
        2 as tier,
        match_probability as score,
        cast(null as varchar) as identifier_type,
        cast(null as varchar) as identifier_value,
        first_seen_at
    from probable
)

select * from final
