-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ forget_everything() }}") }}

with identifiers as (
    select * from {{ ref('identifiers') }}
),

final as (
    select distinct
        identifier_type,
        identifier_value
    from identifiers
    where
        {# On a full build every value is touched, and listing them all would serve nobody. #}
        {{ 'true' if is_partial() else 'false' }}
        {{ and_changed_record() }}
)

select * from final
