-- depends_on: {{ ref('source_changes') }}, {{ ref('touched_identifiers') }}
{{ config(pre_hook="{{ forget_touched_identifiers() }}") }}

with identifiers as {{ inlined() }} (
    select *
    from {{ ref('identifiers') }} as identifiers
    where is_current {{ and_touched_identifier('identifiers') }}
),

rules as (
    select * from {{ ref('identity_rules') }}
),

blocked_values as (
    select * from {{ ref('blocked_identifiers') }}
    where match = 'exact'
),

counted as (
    select
        identifier_type,
        identifier_value,
        count(*) as record_count
    from identifiers
    where identifier_type <> 'crm_id'
    group by identifier_type, identifier_value
),

listed as (
    select
        counted.identifier_type,
        counted.identifier_value,
        counted.record_count,
        rules.max_records,
        rules.max_people,
        coalesce(blocked_values.note, {{ blocked_pattern_note('counted') }}) as note
    from counted
    inner join rules on counted.identifier_type = rules.identifier_type
    left join blocked_values
        on
            counted.identifier_type = blocked_values.identifier_type
            and counted.identifier_value = blocked_values.pattern
),

suspects as (
    select
        identifier_type,
        identifier_value
    from listed
    where record_count > max_people
),

-- People are told apart by first and last name; records without a name are nobody in particular.
peopled as (
    select
        identifiers.identifier_type,
        identifiers.identifier_value,
        count(distinct records.first_name_key || ' ' || coalesce(records.last_name_folded, ''))
            as people_count
    from identifiers
    inner join suspects
        on
            identifiers.identifier_type = suspects.identifier_type
            and identifiers.identifier_value = suspects.identifier_value
    inner join {{ ref('identity_records') }} as records
        on identifiers.record_id = records.record_id
    group by identifiers.identifier_type, identifiers.identifier_value
),

final as (
    select
        listed.identifier_type,
        listed.identifier_value,
        listed.record_count,
        -- Counted only where there are records enough to pass the cap.
        peopled.people_count,
        case
            when listed.note is not null then 'blocked'
            when listed.record_count > listed.max_records then 'too_many_records'
            when peopled.people_count > listed.max_people then 'too_many_people'
        end as reason,
        listed.note
    from listed
    left join peopled
        on
            listed.identifier_type = peopled.identifier_type
            and listed.identifier_value = peopled.identifier_value
    where listed.record_count > 1 or listed.note is not null
)

select * from final
