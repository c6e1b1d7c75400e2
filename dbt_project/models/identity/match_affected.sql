-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ forget_everything() }}") }}

with match_records as (
    select * from {{ ref('match_records') }}
),

flipped_blocks as (
    select * from {{ ref('oversized_blocks') }}
    where has_flipped
),

{# On a full build every record is affected, and listing them all would serve nobody: no table here
   has such a row then. #}
final as (
    select record_id
    from {{ ref('changed_records') }}
    union
    select record_id
    from match_records
    where not is_current
    union
    select match_keys.record_id
    from {{ ref('match_keys') }} as match_keys
    inner join flipped_blocks
        on
            match_keys.block_rule = flipped_blocks.block_rule
            and match_keys.block_key = flipped_blocks.block_key
    where match_keys.is_current
)

select * from final
