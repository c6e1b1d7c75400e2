-- depends_on: {{ ref('source_changes') }}, {{ ref('match_affected') }}
{{ config(pre_hook="{{ forget_affected_pairs() }}") }}

with settings as (
    select * from {{ ref('match_settings') }}
),

pairs as (
    select * from {{ ref('match_candidates') }}
),

{{ scored_pairs_ctes(is_few=is_partial()) }},

probable as (
    select
        *,
        {{ match_probability('match_weight') }} as match_probability
    from scored
),

final as (
    select
        probable.left_record_id,
        probable.right_record_id,
        probable.match_weight,
        probable.match_probability,
        probable.veto,
        case
            when probable.veto is not null then 'vetoed'
            when probable.match_probability < settings.auto_probability or probable.is_doubtful
                then 'review'
            else 'auto'
        end as band,
        '{{ match_model().version }}' as model_version,
        probable.first_seen_at
    from probable
    cross join settings
    where probable.match_probability >= settings.review_probability
)

select * from final
