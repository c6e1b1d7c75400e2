-- depends_on: {{ ref('source_changes') }}, {{ ref('touched_identifiers') }}
{{ config(pre_hook="{{ forget_touched_identifiers() }}") }}

-- Within this model values go by number: numbers compare faster than texts.
with shared_identifiers as (
    select
        {{ stable_number('shared.identifier_type, shared.identifier_value') }} as value_number,
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

members as (
    select
        shared.value_number,
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

value_groups as (
    select
        value_number,
        min(record_id) as hub_record_id,
        coalesce(min(name_key) = max(name_key), true)
        and coalesce(min(birth_date) = max(birth_date), true)
        and not bool_or(is_deleted) as is_one_person
    from members
    group by value_number
),

-- Most values belong to one person, as far as one can tell: a star around the first record.
plain_edges as (
    select
        members.value_number,
        value_groups.hub_record_id as left_record_id,
        members.record_id as right_record_id,
        members.first_seen_at,
        false as is_leaf,
        case when members.is_suppressed then 'blocked_identifier' end as reason
    from members
    inner join value_groups on members.value_number = value_groups.value_number
    where
        (value_groups.is_one_person or members.is_suppressed)
        and members.record_id <> value_groups.hub_record_id
),

-- The others: one row per person that the value names (first name and birth date, either may be
-- missing). A deleted record stands alone, after the living: it may follow, never lead.
contested as (
    select
        members.*,
        case when members.is_deleted then members.record_id end as deleted_record_id
    from members
    inner join value_groups on members.value_number = value_groups.value_number
    where not value_groups.is_one_person and not members.is_suppressed
),

persons as (
    select
        value_number,
        name_key,
        birth_date,
        deleted_record_id,
        min(record_id) as hub_record_id,
        min(first_seen_at) as first_seen_at,
        count(*) as record_count
    from contested
    group by value_number, name_key, birth_date, deleted_record_id
),

-- From the best described person to the least: each may only join one that comes before it, so
-- the links make a forest.
ranked as (
    select
        *,
        row_number() over (
            partition by value_number
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
        person.value_number,
        person.place,
        other.place as other_place,
        other.name_key as other_name_key,
        other.birth_date as other_birth_date,
        min(other.place) over (
            partition by person.value_number, person.place
        ) as best_place
    from ranked as person
    inner join ranked as other
        on
            person.value_number = other.value_number
            and person.place > other.place
    where
        other.deleted_record_id is null
        and {{ compatible_names('person.name_key', 'other.name_key') }}
        and {{ compatible_birth_dates('person.birth_date', 'other.birth_date') }}
),

-- Two options that exclude each other: nobody can say whose record this is.
choices as (
    select
        options.value_number,
        options.place,
        options.best_place,
        bool_or(
            not {{ compatible_names('options.other_name_key', 'best.name_key') }}
            or not {{ compatible_birth_dates('options.other_birth_date', 'best.birth_date') }}
        ) as is_ambiguous
    from options
    inner join ranked as best
        on
            options.value_number = best.value_number
            and options.best_place = best.place
    group by options.value_number, options.place, options.best_place
),

person_edges as (
    select
        person.value_number,
        leader.hub_record_id as left_record_id,
        person.hub_record_id as right_record_id,
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
            person.value_number = choices.value_number
            and person.place = choices.place
    inner join ranked as leader
        on
            person.value_number = leader.value_number
            and leader.place = coalesce(choices.best_place, 1)
    where person.place > 1 and leader.deleted_record_id is null
),

same_person_edges as (
    select
        contested.value_number,
        persons.hub_record_id as left_record_id,
        contested.record_id as right_record_id,
        contested.first_seen_at,
        false as is_leaf,
        cast(null as varchar) as reason
    from contested
    inner join persons
        on
            contested.value_number = persons.value_number
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
        shared.value_number,
        shared.is_suppressed,
        min(logins.login_record_id) as login_record_id,
        count(distinct logins.user_id) as owner_count,
        min(logins.first_seen_at) as first_login_at,
        max(logins.last_seen_at) as last_login_at
    from shared_identifiers as shared
    inner join {{ ref('device_logins') }} as logins
        on shared.identifier_value = logins.device_id
    where shared.identifier_type = 'device_id'
    group by shared.value_number, shared.is_suppressed
),

device_edges as (
    select
        owners.value_number,
        owners.login_record_id as left_record_id,
        devices.record_id as right_record_id,
        devices.first_seen_at,
        false as is_leaf,
        case
            when owners.is_suppressed then 'blocked_identifier'
            when owners.owner_count > 1 then 'ambiguous_device'
            when
                devices.last_seen_at < owners.first_login_at - {{ device_window() }}
                or devices.first_seen_at > owners.last_login_at + {{ device_window() }}
                then 'outside_login_window'
        end as reason
    from device_owners as owners
    inner join shared_identifiers as shared
        on owners.value_number = shared.value_number
    inner join {{ ref('identifiers') }} as devices
        on
            shared.identifier_type = devices.identifier_type
            and shared.identifier_value = devices.identifier_value
    where devices.is_current and split_part(devices.record_id, ':', 2) = 'device'
),

edges as (
    select * from plain_edges
    union all
    select * from same_person_edges
    union all
    select * from person_edges
    union all
    select * from device_edges
),

final as (
    select
        edges.left_record_id,
        edges.right_record_id,
        shared.rule,
        shared.tier,
        shared.score,
        shared.identifier_type,
        shared.identifier_value,
        edges.first_seen_at,
        edges.is_leaf,
        edges.reason
    from edges
    inner join shared_identifiers as shared on edges.value_number = shared.value_number
)

select * from final
