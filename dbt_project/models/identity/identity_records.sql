-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ forget_changed_records() }}") }}

with identifiers as (
    select
        record_id,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from {{ ref('identifiers') }}
    where is_current {{ and_changed_record() }}
    group by record_id
),

persons as (
    select
        record_id,
        {{ newest_value('first_name', 'value') }} as first_name,
        {{ newest_value('last_name', 'value') }} as last_name,
        {{ newest_value('first_name', 'match_key') }} as first_name_key,
        {{ newest_value('last_name', 'match_key') }} as last_name_folded,
        {{ newest_value('birth_date', 'value') }} as birth_date,
        {{ newest_value('is_deleted', 'value') }} as is_deleted
    from {{ ref('record_attributes') }}
    where
        attribute in ('first_name', 'last_name', 'birth_date', 'is_deleted')
        {{ and_changed_record() }}
    group by record_id
),

final as (
    select
        identifiers.record_id,
        split_part(identifiers.record_id, ':', 1) as source,
        split_part(identifiers.record_id, ':', 2) as record_kind,
        persons.first_name,
        persons.last_name,
        case
            when persons.first_name_key not in ({{ placeholder_first_names() }})
                then persons.first_name_key
        end as first_name_key,
        persons.last_name_folded,
        case
            when persons.birth_date not in ({{ placeholder_birth_dates() }})
                then cast(persons.birth_date as date)
        end as birth_date,
        coalesce(persons.is_deleted = 'true', false) as is_deleted,
        identifiers.first_seen_at,
        identifiers.last_seen_at
    from identifiers
    left join persons on identifiers.record_id = persons.record_id
)

select * from final
