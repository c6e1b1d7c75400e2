{{ config(materialized='view') }}

with pairs as (
    select * from {{ ref('match_pairs') }}
    where band = 'review'
),

{{ scored_pairs_ctes() }},

final as (
    select
        pairs.left_record_id,
        pairs.right_record_id,
        pairs.match_probability,
        pairs.match_weight,
        {%- for comparison in match_model().comparisons %}
        scored.gamma_{{ comparison.name }},
        scored.weight_{{ comparison.name }},
        {%- endfor %}
        pairs.model_version,
        pairs.first_seen_at
    from pairs
    inner join scored
        on
            pairs.left_record_id = scored.left_record_id
            and pairs.right_record_id = scored.right_record_id
)

select * from final
