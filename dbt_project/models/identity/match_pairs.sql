-- depends_on: {{ ref('source_changes') }}, {{ ref('match_affected') }}, {{ ref('match_keys') }}
{{ config(pre_hook="{{ forget_affected_pairs() }}") }}

with settings as (
    select * from {{ ref('match_settings') }}
),

oversized_blocks as (
    select * from {{ ref('oversized_blocks') }}
    where is_oversized
),

{%- if is_partial() %}

match_keys as (
    select * from {{ ref('match_keys') }}
    where is_current
),

affected_keys as (
    select match_keys.*
    from match_keys
    inner join {{ ref('match_affected') }} as affected
        on match_keys.record_id = affected.record_id
    where not exists (
        select 1 from oversized_blocks
        where
            oversized_blocks.block_rule = match_keys.block_rule
            and oversized_blocks.block_key = match_keys.block_key
    )
),

pairs as (
    select distinct
        least(affected_keys.record_id, match_keys.record_id) as left_record_id,
        greatest(affected_keys.record_id, match_keys.record_id) as right_record_id
    from affected_keys
    inner join match_keys
        on
            affected_keys.block_rule = match_keys.block_rule
            and affected_keys.block_key = match_keys.block_key
    where affected_keys.record_id <> match_keys.record_id
),

compared as (
    select
        l.record_id as left_record_id,
        r.record_id as right_record_id,
        {{ latest('l.first_seen_at', 'r.first_seen_at') }} as first_seen_at,
        {{ compared_pair('l', 'r') }}
    from pairs
    inner join {{ ref('match_records') }} as l
        on pairs.left_record_id = l.record_id
    inner join {{ ref('match_records') }} as r
        on pairs.right_record_id = r.record_id
    where l.is_current and r.is_current
),
{%- else %}

-- Within this model records go by number, in the order of their ids: numbers compare faster than
-- texts.
numbered as (
    select
        row_number() over (order by record_id) as number,
        *
    from {{ ref('match_records') }}
    where is_current
),

met as (
    {%- for rule in match_model().blocking %}
    select
        l.number as left_number,
        r.number as right_number
    from (select number, {{ rule.key }} as block_key from numbered) as l
    inner join (select number, {{ rule.key }} as block_key from numbered) as r
        on l.block_key = r.block_key and l.number < r.number
    where not exists (
        select 1 from oversized_blocks
        where oversized_blocks.block_rule = '{{ rule.name }}' and oversized_blocks.block_key = l.block_key
    )
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

pairs as (
    select distinct
        left_number,
        right_number
    from met
),

compared as (
    select
        l.record_id as left_record_id,
        r.record_id as right_record_id,
        {{ latest('l.first_seen_at', 'r.first_seen_at') }} as first_seen_at,
        {{ compared_pair('l', 'r') }}
    from pairs
    inner join numbered as l on pairs.left_number = l.number
    inner join numbered as r on pairs.right_number = r.number
),
{%- endif %}

{{ scoring_ctes(['left_record_id', 'right_record_id', 'first_seen_at']) }},

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
            when probable.match_probability >= settings.auto_probability then 'auto'
            else 'review'
        end as band,
        '{{ match_model().version }}' as model_version,
        probable.first_seen_at
    from probable
    cross join settings
    where probable.match_probability >= settings.review_probability
)

select * from final
