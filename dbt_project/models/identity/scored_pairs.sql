{{ config(materialized='view') }}

with pairs as (
    select * from {{ ref('pairs_to_score') }}
),

{{ scored_pairs_ctes(is_few=true) }},

final as (
    select
        left_record_id,
        right_record_id,
        match_weight,
        veto
    from scored
)

select * from final
