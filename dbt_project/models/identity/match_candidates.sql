-- depends_on: {{ ref('source_changes') }}, {{ ref('match_affected') }}
-- depends_on: {{ ref('match_keys') }}, {{ ref('match_records') }}
{{ config(pre_hook="{{ forget_everything() }}") }}

{%- set rules = match_model().blocking %}

with oversized_blocks as (
    select * from {{ ref('oversized_blocks') }}
    where is_oversized
),

{%- if is_partial() %}

match_keys as {{ inlined() }} (
    select * from {{ ref('match_keys') }}
    where is_current
),

affected_keys as (
    select
        match_keys.record_id,
        match_keys.block_rule,
        match_keys.block_key
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

final as (
    select distinct
        least(affected_keys.record_id, match_keys.record_id) as left_record_id,
        greatest(affected_keys.record_id, match_keys.record_id) as right_record_id
    from affected_keys
    inner join match_keys
        on
            affected_keys.block_rule = match_keys.block_rule
            and affected_keys.block_key = match_keys.block_key
    where affected_keys.record_id <> match_keys.record_id
)
{%- else %}

-- Within this model records and keys go by number: numbers compare faster than texts.
keyed as {{ materialized() }} (
    select
        {{ stable_number('record_id') }} as number,
        record_id
        {%- for rule in rules %},
        {{ text_hash(rule.key) }} as key_{{ loop.index }}
        {%- endfor %}
    from {{ ref('match_records') }}
    where is_current
),

{%- for rule in rules %}

{{ rule.name }}_blocks as {{ inlined() }} (
    select
        number,
        key_{{ loop.index }} as block_hash
    from keyed
    where
        key_{{ loop.index }} is not null
        and not exists (
            select 1 from oversized_blocks
            where
                oversized_blocks.block_rule = '{{ rule.name }}'
                and {{ text_hash('oversized_blocks.block_key') }} = keyed.key_{{ loop.index }}
        )
),
{%- endfor %}

met as (
    {%- for rule in rules %}
    select
        l.number as left_number,
        r.number as right_number
    from {{ rule.name }}_blocks as l
    inner join {{ rule.name }}_blocks as r
        on l.block_hash = r.block_hash and l.number < r.number
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

final as (
    select
        least(l.record_id, r.record_id) as left_record_id,
        greatest(l.record_id, r.record_id) as right_record_id
    from pairs
    inner join keyed as l on pairs.left_number = l.number
    inner join keyed as r on pairs.right_number = r.number
)
{%- endif %}

select * from final
