-- depends_on: {{ ref('source_changes') }}, {{ ref('touched_keys') }}
{{ config(
    unique_key=['block_rule', 'block_key'],
    pre_hook="{{ forget_everything_on_rebuild() }}",
) }}

with settings as (
    select * from {{ ref('match_settings') }}
),

{%- if is_partial() %}

known as (
    select
        *,
        {{ text_hash('block_key') }} as block_number
    from {{ this }}
),

counted as (
    select
        block_rule,
        block_number,
        min(record_id) as member_id,
        count(case when is_current then 1 end) as record_count
    from {{ ref('touched_keys') }}
    group by block_rule, block_number
),

-- A flip is remembered until the customer map has followed, even when it is undone meanwhile: a
-- run that failed half way may have acted on it.
judged as (
    select
        counted.*,
        counted.record_count > {{ block_cap('counted') }} as is_oversized,
        coalesce(known.has_flipped, false)
        or (counted.record_count > {{ block_cap('counted') }})
        <> coalesce(known.is_oversized, false) as has_flipped
    from counted
    cross join settings
    left join known
        on
            counted.block_rule = known.block_rule
            and counted.block_number = known.block_number
    where counted.record_count > {{ block_cap('counted') }} or known.block_rule is not null
),
{%- else %}

keyed as {{ materialized() }} (
    {{ numbered_keys(ref('match_records'), ['record_id'], 'is_current') }}
),

counted as (
    {{ oversized_counts('keyed') }}
),

judged as (
    select
        *,
        true as is_oversized,
        false as has_flipped
    from counted
),
{%- endif %}

-- What the number of a block stands for, any of its members tells.
members as (
    select * from {{ ref('match_records') }}
    where record_id in (select judged.member_id from judged)
),

member_keys as (
    {{ block_keys('members', ['record_id']) }}
),

final as (
    select distinct
        judged.block_rule,
        member_keys.block_key,
        judged.record_count,
        judged.is_oversized,
        judged.has_flipped
    from judged
    inner join member_keys
        on
            judged.member_id = member_keys.record_id
            and judged.block_rule = member_keys.block_rule
            and judged.block_number = {{ text_hash('member_keys.block_key') }}
)

select * from final
