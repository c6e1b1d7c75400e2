-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ forget_changed_records() }}") }}

with identifiers as (
    select
        record_id,
        min(source) as source,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from {{ ref('identifiers') }}
    where is_current {{ and_changed_record() }}
    group by record_id
),

newest_values as (
    select
        record_id,
        attribute,
        {{ newest('value', 'last_seen_at') }} as value,
        {{ newest('match_key', 'last_seen_at') }} as match_key
    from {{ ref('record_attributes') }}
    where
        attribute in ('first_name', 'last_name', 'birth_date', 'is_deleted')
        {{ and_changed_record() }}
    group by record_id, attribute
),

persons as (
    select
        record_id,
        max(case when attribute = 'first_name' then value end) as first_name,
        max(case when attribute = 'last_name' then value end) as last_name,
        max(case when attribute = 'first_name' then match_key end) as first_name_key,
        max(case when attribute = 'last_name' then match_key end) as last_name_folded,
        max(case when attribute = 'birth_date' then value end) as birth_date,
        max(case when attribute = 'is_deleted' then value end) as is_deleted
    from newest_values
    group by record_id
),

final as (
    select
        identifiers.record_id,
        identifiers.source,
        split_part(identifiers.record_id, ':', 2) as record_kind,
        persons.first_name,
        persons.last_name,
        persons.first_name_key,
        persons.last_name_folded,
        cast(persons.birth_date as date) as birth_date,
        coalesce(persons.is_deleted = 'true', false) as is_deleted,
        identifiers.first_seen_at,
        identifiers.last_seen_at
    from identifiers
    left join persons on identifiers.record_id = persons.record_id
)

select * from final
