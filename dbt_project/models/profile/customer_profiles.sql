{{ config(pre_hook="{{ forget_touched_customers() }}") }}

with

records as (
    select * from {{ source('identity', 'customer_map') }}
    {{ of_customers_to_write() }}
),

identity_records as (
    select * from {{ ref('identity_records') }}
),

attributes as (
    select * from {{ ref('customer_attributes') }}
    {{ of_customers_to_write() }}
),

countries as (
    select * from {{ ref('countries') }}
),

members as (
    select
        records.customer_id,
        case
            when bool_and(identity_records.record_kind = 'device') then 'anonymous' else 'known'
        end as profile_type,
        bool_and(coalesce(identity_records.is_deleted, false)) as is_deleted,
        min(identity_records.first_seen_at) as first_seen_at,
        max(identity_records.last_seen_at) as last_seen_at,
        count(*) as record_count,
        {% for source in profile_sources() -%}
        bool_or(identity_records.source = '{{ source }}') as is_in_{{ source }}
        {%- if not loop.last %},{% endif %}
        {% endfor %}
    from records
    inner join identity_records
        on records.record_id = identity_records.record_id
    group by records.customer_id
),

golden as (
    select
        customer_id,
        max(case when attribute = 'first_name' then value end) as first_name,
        max(case when attribute = 'last_name' then value end) as last_name,
        try_cast(max(case when attribute = 'birth_date' then value end) as date) as birth_date,
        max(case when attribute = 'gender' then value end) as gender,
        max(case when attribute = 'email' then value end) as email,
        max(case when attribute = 'phone' then value end) as phone_e164,
        max(case when attribute = 'address' then value end) as address
    from attributes
    group by customer_id
),

placed as (
    select
        *,
        {{ json_member('address', 'street') }} as street,
        {{ json_member('address', 'city') }} as city,
        {{ json_member('address', 'state') }} as state,
        {{ json_member('address', 'postal_code') }} as postal_code,
        {{ json_member('address', 'country') }} as country
    from golden
),

joined as (
    select
        members.customer_id,
        members.profile_type,
        members.is_deleted,
        placed.first_name,
        placed.last_name,
        nullif(concat_ws(' ', placed.first_name, placed.last_name), '') as full_name,
        placed.birth_date,
        placed.gender,
        placed.email,
        {{ email_match_key('placed.email') }} as email_key,
        placed.phone_e164,
        placed.street,
        placed.city,
        placed.state,
        placed.postal_code,
        countries.alpha2 as country_code,
        members.first_seen_at,
        members.last_seen_at,
        members.record_count,
        concat_ws(
            ',',
            {% for source in profile_sources() -%}
            case when members.is_in_{{ source }} then '{{ source }}' end
            {%- if not loop.last %},{% endif %}
            {% endfor %}
        ) as sources
    from members
    left join placed
        on members.customer_id = placed.customer_id
    left join countries
        on {{ country_lookup_key('placed.country') }} = countries.name
),

final as (
    select
        *,
        cast(length(sources) - length(replace(sources, ',', '')) + 1 as bigint) as source_count,
        {{ surrogate_key(versioned_profile_columns()) }} as profile_hash
    from joined
)

select * from final
