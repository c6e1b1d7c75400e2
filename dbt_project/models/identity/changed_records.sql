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
    select record_id
    from {{ ref('clean_' ~ entity) }}
    where _load_id > {{ applied_load(entity) }}

    union all
    {% endfor %}
    -- A contact that moved to another caller: the caller it left has changed too.
    select caller_contacts.record_id
    from {{ ref('caller_contacts') }} as caller_contacts
    inner join {{ ref('clean_contact_center__contacts') }} as contacts
        on caller_contacts.contact_id = contacts.contact_id
    where contacts._load_id > {{ applied_load('contact_center__contacts') }}
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
{%- do ref('caller_contacts') %}
with final as (
    select cast(null as varchar) as record_id
    where false
)
{%- endif %}

select * from final
