-- depends_on: {{ ref('source_changes') }}, {{ ref('match_affected') }}
-- depends_on: {{ ref('match_records') }}, {{ ref('touched_keys') }}
{{ config(pre_hook="{{ forget_everything() }}") }}

with oversized_blocks as (
    select
        block_rule,
        {{ text_hash('block_key') }} as block_number
    from {{ ref('oversized_blocks') }}
    where is_oversized
),

{%- if is_partial() %}

changed as (
    select record_id from {{ ref('match_affected') }}
    where has_changed
),

-- Everybody whom a changed record may meet.
neighbours as {{ materialized() }} (
    select
        touched_keys.record_id,
        touched_keys.block_rule,
        touched_keys.block_number
    from {{ ref('touched_keys') }} as touched_keys
    where
        touched_keys.is_current
        and not exists (
            select 1 from oversized_blocks
            where
                oversized_blocks.block_rule = touched_keys.block_rule
                and oversized_blocks.block_number = touched_keys.block_number
        )
),

-- Records that did not change themselves, but a block of theirs passed the cap: few, or none. Their
-- pairs with each other are made anew.
others as (
    select * from {{ ref('match_records') }}
    where
        is_current
        and record_id in (
            select affected.record_id from {{ ref('match_affected') }} as affected
            where not affected.has_changed
        )
),

other_keys as (
    {{ block_keys('others', ['record_id']) }}
),

usable_other_keys as {{ materialized() }} (
    select other_keys.*
    from other_keys
    where not exists (
        select 1 from oversized_blocks
        where
            oversized_blocks.block_rule = other_keys.block_rule
            and oversized_blocks.block_number = {{ text_hash('other_keys.block_key') }}
    )
),

met as (
    select
        l.record_id,
        r.record_id as other_record_id
    from neighbours as l
    inner join neighbours as r
        on l.block_rule = r.block_rule and l.block_number = r.block_number
    where l.record_id in (select changed.record_id from changed)
    union all
    select
        l.record_id,
        r.record_id as other_record_id
    from usable_other_keys as l
    inner join usable_other_keys as r
        on l.block_rule = r.block_rule and l.block_key = r.block_key
),

final as (
    select distinct
        least(record_id, other_record_id) as left_record_id,
        greatest(record_id, other_record_id) as right_record_id
    from met
    where record_id <> other_record_id
)
{%- else %}

-- Within this model records go by number, too.
keyed as {{ materialized() }} (
    {{ numbered_keys(ref('match_records'), [stable_number('record_id') ~ ' as number', 'record_id'],
        'is_current') }}
),

met as (
    {{ pairs_in_blocks('keyed', 'oversized_blocks') }}
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
