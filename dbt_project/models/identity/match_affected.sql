-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ forget_everything() }}") }}

with touched_keys as (
    select * from {{ ref('touched_keys') }}
),

flipped_blocks as (
    select
        block_rule,
        {{ text_hash('block_key') }} as block_number
    from {{ ref('oversized_blocks') }}
    where has_flipped
),

{# On a full build every record is affected, and listing them all would serve nobody: no table here
   has a row then. #}
found as (
    select
        record_id,
        true as has_changed
    from {{ ref('changed_records') }}
    union all
    select
        record_id,
        true as has_changed
    from {{ ref('match_records') }}
    where not is_current
    union all
    select
        touched_keys.record_id,
        false as has_changed
    from touched_keys
    inner join flipped_blocks
        on
            touched_keys.block_rule = flipped_blocks.block_rule
            and touched_keys.block_number = flipped_blocks.block_number
),

final as (
    select
        record_id,
        bool_or(has_changed) as has_changed
    from found
    group by record_id
)

select * from final
