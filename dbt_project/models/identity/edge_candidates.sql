-- depends_on: {{ ref('source_changes') }}, {{ ref('touched_identifiers') }}
{{ config(pre_hook="{{ forget_touched_identifiers() }}") }}

with shared_identifiers as {{ inlined() }} (
    select
        shared.identifier_type,
        shared.identifier_value,
        shared.reason is not null as is_suppressed,
        rules.rule,
        rules.tier,
        rules.score,
        rules.needs_compatible_person
    from {{ ref('shared_identifiers') }} as shared
    inner join {{ ref('identity_rules') }} as rules
        on shared.identifier_type = rules.identifier_type
    where shared.record_count > 1 {{ and_touched_identifier('shared') }}
),

members as {{ inlined() }} (
    select
        shared.identifier_type,
        shared.identifier_value,
        shared.rule,
        shared.tier,
        shared.score,
        shared.is_suppressed,
        identifiers.record_id,
        identifiers.first_seen_at,
        records.is_deleted,
        case when shared.needs_compatible_person then records.first_name_key end as name_key,
        case when shared.needs_compatible_person then records.birth_date end as birth_date
    from shared_identifiers as shared
    inner join {{ ref('identifiers') }} as identifiers
        on
            shared.identifier_type = identifiers.identifier_type
            and shared.identifier_value = identifiers.identifier_value
    inner join {{ ref('identity_records') }} as records
        on identifiers.record_id = records.record_id
    where identifiers.is_current and shared.identifier_type <> 'device_id'
),

grouped as (
    select
        *,
        min(record_id) over value_group as hub_record_id,
        coalesce(min(name_key) over value_group = max(name_key) over value_group, true)
        and coalesce(min(birth_date) over value_group = max(birth_date) over value_group, true)
        and not bool_or(is_deleted) over value_group as is_one_person
    from members
    window value_group as (partition by identifier_type, identifier_value)
),

-- Most values belong to one person, as far as one can tell: a star around the first record.
plain_edges as (
    select
        hub_record_id as left_record_id,
        record_id as right_record_id,
        rule,
        tier,
        score,
        identifier_type,
        identifier_value,
        first_seen_at,
        false as is_leaf,
        case when is_suppressed then 'blocked_identifier' end as reason
    from grouped
    where (is_one_person or is_suppressed) and record_id <> hub_record_id
),

-- The others: one row per person that the value names (first name and birth date, either may be
-- missing). A deleted record stands alone, after the living: it may follow, never lead.
contested as (
    select
        *,
        case when is_deleted then record_id end as deleted_record_id
    from grouped
    where not is_one_person and not is_suppressed
),

persons as (
    select
        identifier_type,
        identifier_value,
        rule,
        tier,
        score,
        name_key,
        birth_date,
        deleted_record_id,
        min(record_id) as hub_record_id,
        min(first_seen_at) as first_seen_at,
        count(*) as record_count
    from contested
    group by
        identifier_type,
        identifier_value,
        rule,
        tier,
        score,
        name_key,
        birth_date,
        deleted_record_id
),

-- From the best described person to the least: each may only join one that comes before it, so
-- the links make a forest.
ranked as (
    select
        *,
        row_number() over (
            partition by identifier_type, identifier_value
            order by
                deleted_record_id is not null,
                case when length(name_key) > 1 then 2 when name_key is not null then 1 else 0 end
                + case when birth_date is not null then 1 else 0 end desc,
                record_count desc,
                hub_record_id
        ) as place
    from persons
),

options as (
    select
        person.identifier_type,
        person.identifier_value,
        person.place,
        other.place as other_place,
        other.name_key as other_name_key,
        other.birth_date as other_birth_date,
        min(other.place) over (
            partition by person.identifier_type, person.identifier_value, person.place
        ) as best_place
    from ranked as person
    inner join ranked as other
        on
            person.identifier_type = other.identifier_type
            and person.identifier_value = other.identifier_value
            and person.place > other.place
    where
        other.deleted_record_id is null
        and {{ compatible_names('person.name_key', 'other.name_key') }}
        and {{ compatible_birth_dates('person.birth_date', 'other.birth_date') }}
),

-- Two options that exclude each other: nobody can say whose record this is.
choices as (
    select
        options.identifier_type,
        options.identifier_value,
        options.place,
        options.best_place,
        bool_or(
            not {{ compatible_names('options.other_name_key', 'best.name_key') }}
            or not {{ compatible_birth_dates('options.other_birth_date', 'best.birth_date') }}
        ) as is_ambiguous
    from options
    inner join ranked as best
        on
            options.identifier_type = best.identifier_type
            and options.identifier_value = best.identifier_value
            and options.best_place = best.place
    group by
        options.identifier_type,
        options.identifier_value,
        options.place,
        options.best_place
),

person_edges as (
    select
        leader.hub_record_id as left_record_id,
        person.hub_record_id as right_record_id,
        person.rule,
        person.tier,
        person.score,
        person.identifier_type,
        person.identifier_value,
        person.first_seen_at,
        person.deleted_record_id is not null as is_leaf,
        case
            when choices.is_ambiguous then 'shared_by_several_people'
            when choices.place is not null then null
            when not {{ compatible_names('person.name_key', 'leader.name_key') }}
                then 'incompatible_first_names'
            else 'birth_date_conflict'
        end as reason
    from ranked as person
    left join choices
        on
            person.identifier_type = choices.identifier_type
            and person.identifier_value = choices.identifier_value
            and person.place = choices.place
    inner join ranked as leader
        on
            person.identifier_type = leader.identifier_type
            and person.identifier_value = leader.identifier_value
            and leader.place = coalesce(choices.best_place, 1)
    where person.place > 1 and leader.deleted_record_id is null
),

same_person_edges as (
    select
        persons.hub_record_id as left_record_id,
        contested.record_id as right_record_id,
        contested.rule,
        contested.tier,
        contested.score,
        contested.identifier_type,
        contested.identifier_value,
        contested.first_seen_at,
        false as is_leaf,
        cast(null as varchar) as reason
    from contested
    inner join persons
        on
            contested.identifier_type = persons.identifier_type
            and contested.identifier_value = persons.identifier_value
            and contested.name_key is not distinct from persons.name_key
            and contested.birth_date is not distinct from persons.birth_date
    where
        not contested.is_deleted
        and persons.deleted_record_id is null
        and contested.record_id <> persons.hub_record_id
),

-- A device follows a login, and only when one person alone logged in on it.
device_owners as (
    select
        device_id,
        min(login_record_id) as login_record_id,
        count(distinct user_id) as owner_count,
        min(first_seen_at) as first_login_at,
        max(last_seen_at) as last_login_at
    from {{ ref('device_logins') }}
    group by device_id
),

device_edges as (
    select
        owners.login_record_id as left_record_id,
        devices.record_id as right_record_id,
        shared.rule,
        shared.tier,
        shared.score,
        shared.identifier_type,
        shared.identifier_value,
        devices.first_seen_at,
        false as is_leaf,
        case
            when shared.is_suppressed then 'blocked_identifier'
            when owners.owner_count > 1 then 'ambiguous_device'
            when
                devices.last_seen_at < owners.first_login_at - {{ device_window() }}
                or devices.first_seen_at > owners.last_login_at + {{ device_window() }}
                then 'outside_login_window'
        end as reason
    from shared_identifiers as shared
    inner join {{ ref('identifiers') }} as devices
        on
            shared.identifier_type = devices.identifier_type
            and shared.identifier_value = devices.identifier_value
    inner join device_owners as owners
        on shared.identifier_value = owners.device_id
    where
        shared.identifier_type = 'device_id'
        and devices.is_current
        and split_part(devices.record_id, ':', 2) = 'device'
),

final as (
    select * from plain_edges
    union all
    select * from same_person_edges
    union all
    select * from person_edges
    union all
    select * from device_edges
)

select * from final
