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
        -- A country alone is an address, too, but never beats one that has a street.
        record_attributes.attribute = 'address'
        and record_attributes.value like '%"street":null%' as is_incomplete,
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
    where record_attributes.value is not null
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
                candidates.is_incomplete,
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
