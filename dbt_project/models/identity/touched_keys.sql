-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}, {{ ref('match_records') }}
{{ config(pre_hook="{{ forget_everything() }}") }}

{%- if is_partial() %}
with keyed as {{ materialized() }} (
    {{ numbered_keys(ref('match_records'), ['record_id', 'is_current'], 'true') }}
),

-- What is not current belongs to a record that changed, or that is told anew because a value of it
-- began or ceased to stand for nobody: its new keys count as much as those it had.
changed as {{ materialized() }} (
    select *
    from keyed
    where
        record_id in (
            select retired.record_id from keyed as retired
            where not retired.is_current
            union all
            select changes.record_id from {{ ref('changed_records') }} as changes
        )
),

final as (
    {{ keys_in_common('keyed', 'changed') }}
)
{%- else %}
-- A full build: every block is touched, and listing them all would serve nobody.
with final as (
    select
        cast(null as varchar) as record_id,
        cast(null as varchar) as block_rule,
        cast(null as bigint) as block_number,
        cast(null as boolean) as is_current
    where false
)
{%- endif %}

select * from final
