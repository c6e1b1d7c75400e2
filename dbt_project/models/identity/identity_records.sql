-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ forget_changed_records() }}") }}

{%- set crm_columns = {
    'first_name': trimmed('first_name'),
    'last_name': trimmed('last_name'),
    'first_name_key': 'first_name_key',
    'last_name_folded': 'last_name_folded',
    'birth_date': 'cast(birth_date as varchar)',
    'is_deleted': 'is_deleted',
    'exists_since': 'least(coalesce(created_at, modified_at), modified_at)',
} %}

with {{ crm_versions(crm_columns) }},

-- What a contact's newest version that says something says.
crm_newest as (
    select
        record_id,
        {{ newest('first_name', 'last_seen_at') }} as first_name,
        {{ newest('last_name', 'last_seen_at') }} as last_name,
        {{ newest('first_name_key', 'last_seen_at') }} as first_name_key,
        {{ newest('last_name_folded', 'last_seen_at') }} as last_name_folded,
        {{ newest('birth_date', 'last_seen_at') }} as birth_date,
        {{ newest('cast(is_deleted as varchar)', 'last_seen_at') }} = 'true' as is_deleted,
        min(exists_since) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from crm_often
    group by record_id
),

seen as (
    select
        record_id,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from {{ ref('identifiers') }}
    where is_current and source <> 'crm' {{ and_changed_record() }}
    group by record_id
),

told as (
    select
        record_id,
        {%- for name, attribute, column in [
            ('first_name', 'first_name', 'value'),
            ('last_name', 'last_name', 'value'),
            ('first_name_key', 'first_name', 'match_key'),
            ('last_name_folded', 'last_name', 'match_key'),
            ('birth_date', 'birth_date', 'value'),
        ] %}
        {{ newest(column, 'last_seen_at', "attribute = '" ~ attribute ~ "'") }} as {{ name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ ref('record_attributes') }}
    where
        source <> 'crm'
        and attribute in ('first_name', 'last_name', 'birth_date')
        {{ and_changed_record() }}
    group by record_id
),

persons as (
    select
        record_id,
        first_name,
        last_name,
        first_name_key,
        last_name_folded,
        birth_date,
        is_deleted,
        exists_since as first_seen_at,
        last_seen_at
    from crm_once
    union all
    select
        record_id,
        first_name,
        last_name,
        first_name_key,
        last_name_folded,
        birth_date,
        is_deleted,
        first_seen_at,
        last_seen_at
    from crm_newest
    union all
    select
        seen.record_id,
        told.first_name,
        told.last_name,
        told.first_name_key,
        told.last_name_folded,
        told.birth_date,
        false as is_deleted,
        seen.first_seen_at,
        seen.last_seen_at
    from seen
    left join told on seen.record_id = told.record_id
),

final as (
    select
        record_id,
        split_part(record_id, ':', 1) as source,
        split_part(record_id, ':', 2) as record_kind,
        first_name,
        last_name,
        case
            when first_name_key not in ({{ placeholder_first_names() }}) then first_name_key
        end as first_name_key,
        last_name_folded,
        case
            when birth_date not in ({{ placeholder_birth_dates() }}) then cast(birth_date as date)
        end as birth_date,
        is_deleted,
        first_seen_at,
        last_seen_at
    from persons
)

select * from final
