{{ config(pre_hook="{{ forget_touched_customers() }}") }}

with

records as (
    select * from {{ source('identity', 'customer_map') }}
    {{ of_customers_to_write() }}
),

deleted_records as (
    select record_id
    from {{ ref('identity_records') }}
    where is_deleted
),

record_attributes as (
    select * from {{ ref('record_attributes') }}
),

blocked_values as (
    select
        identifier_type,
        identifier_value
    from {{ ref('suppressed_identifiers') }}
    where reason = 'blocked'
),

rules as (
    select * from {{ ref('survivorship') }}
),

candidates as (
    select
        records.customer_id,
        record_attributes.attribute,
        record_attributes.value,
        record_attributes.source,
        record_attributes.record_id,
        record_attributes.last_seen_at as observed_at,
        rules.rule,
        deleted_records.record_id is not null as is_deleted,
        -- A country alone is an address, too, but never beats one that has a street. What a form
        -- fills in by itself never beats what somebody gave.
        coalesce(
            case record_attributes.attribute
                when 'address' then record_attributes.value like '%"street":null%'
                when 'first_name'
                    then record_attributes.match_key in ({{ placeholder_first_names() }})
                when 'birth_date' then record_attributes.value in ({{ placeholder_birth_dates() }})
            end,
            false
        ) as says_little,
        -- The place of the source in the list; a source that is not listed comes last.
        coalesce(nullif(strpos(
            '|' || rules.source_priority || '|', '|' || record_attributes.source || '|'
        ), 0), 1000) as source_place
    from record_attributes
    inner join records
        on record_attributes.record_id = records.record_id
    inner join rules
        on record_attributes.attribute = rules.attribute
    left join deleted_records
        on record_attributes.record_id = deleted_records.record_id
    left join blocked_values
        on
            record_attributes.attribute = blocked_values.identifier_type
            and coalesce(record_attributes.match_key, record_attributes.value)
            = blocked_values.identifier_value
    where
        record_attributes.value is not null
        -- A mailbox or number of nobody is none of theirs: nothing is to be sent there.
        and blocked_values.identifier_value is null
),

frequencies as (
    select
        customer_id,
        attribute,
        value,
        count(*) as record_count
    from candidates
    where rule = 'most_frequent'
    group by customer_id, attribute, value
),

ranked as (
    select
        candidates.*,
        row_number() over (
            partition by candidates.customer_id, candidates.attribute
            order by
                candidates.is_deleted,
                candidates.says_little,
                case when candidates.rule = 'source_priority' then candidates.source_place end,
                frequencies.record_count desc,
                candidates.observed_at desc,
                candidates.source_place,
                candidates.record_id,
                candidates.value
        ) as place
    from candidates
    left join frequencies
        on
            candidates.customer_id = frequencies.customer_id
            and candidates.attribute = frequencies.attribute
            and candidates.value = frequencies.value
),

final as (
    select
        customer_id,
        attribute,
        value,
        source,
        record_id,
        observed_at,
        rule
    from ranked
    where place = 1
)

select * from final
