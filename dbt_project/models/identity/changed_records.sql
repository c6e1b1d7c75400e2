-- depends_on: {{ ref('source_changes') }}
{{ config(pre_hook="{{ forget_everything() }}") }}

{%- set entities = [
    'contact_center__contacts',
    'crm__contacts',
    'email__events',
    'mobile__events',
    'pos__receipts',
    'web__events',
] %}

{%- if is_partial() %}
with changed as (
    {% for entity in entities %}
    {%- for record_id in ['record_id', '_moved_from'] %}
    select {{ record_id }} as record_id
    from {{ ref('clean_' ~ entity) }}
    where _load_id > {{ applied_load(entity) }}
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

final as (
    select distinct record_id
    from changed
    where record_id is not null
)
{%- else %}
-- A full build: every record changed, and listing them all would serve nobody.
{#- The refs of the other branch, for the order of the models. #}
{%- for entity in entities %}{% do ref('clean_' ~ entity) %}{% endfor %}
with final as (
    select cast(null as varchar) as record_id
    where false
)
{%- endif %}

select * from final
