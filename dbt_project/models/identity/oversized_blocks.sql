-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(
    unique_key=['block_rule', 'block_key'],
    pre_hook="{{ forget_everything_on_rebuild() }}",
) }}

with settings as (
    select * from {{ ref('match_settings') }}
),

match_keys as (
    select * from {{ ref('match_keys') }}
),

{%- if is_partial() %}

-- Blocks that a changed record is in, or was.
touched as (
    select distinct
        block_rule,
        block_key
    from match_keys
    where
        not is_current
        or record_id in (select record_id from {{ ref('changed_records') }})
),

counted as (
    select
        match_keys.block_rule,
        match_keys.block_key,
        count(case when match_keys.is_current then 1 end) as record_count
    from match_keys
    inner join touched
        on
            match_keys.block_rule = touched.block_rule
            and match_keys.block_key = touched.block_key
    group by match_keys.block_rule, match_keys.block_key
),

judged as (
    select
        counted.*,
        counted.record_count > {{ block_cap('counted') }} as is_oversized
    from counted
    cross join settings
),

-- A flip is remembered until the customer map has followed, even when it is undone meanwhile: a
-- run that failed half way may have acted on it.
final as (
    select
        judged.block_rule,
        judged.block_key,
        judged.record_count,
        judged.is_oversized,
        coalesce(known.has_flipped, false)
        or judged.is_oversized <> coalesce(known.is_oversized, false) as has_flipped
    from judged
    left join {{ this }} as known
        on
            judged.block_rule = known.block_rule
            and judged.block_key = known.block_key
    where judged.is_oversized or known.block_rule is not null
)
{%- else %}

counted as (
    select
        block_rule,
        block_key,
        count(*) as record_count
    from match_keys
    where is_current
    group by block_rule, block_key
),

final as (
    select
        counted.block_rule,
        counted.block_key,
        counted.record_count,
        true as is_oversized,
        false as has_flipped
    from counted
    cross join settings
    where counted.record_count > {{ block_cap('counted') }}
)
{%- endif %}

select * from final
