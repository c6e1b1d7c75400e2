-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ forget_changed_records() }}") }}

{%- set address = {
    'street': trimmed('mailing_street'),
    'city': trimmed('mailing_city'),
    'state': trimmed('mailing_state'),
    'postal_code': trimmed('mailing_postal_code'),
    'country': 'coalesce(country_code, ' ~ trimmed('mailing_country') ~ ')',
} %}

with crm_contacts as {{ inlined() }} (
    select
        record_id,
        {{ trimmed('first_name') }} as first_name,
        first_name_key,
        {{ trimmed('last_name') }} as last_name,
        last_name_folded,
        cast(birth_date as varchar) as birth_date,
        {{ trimmed('gender') }} as gender,
        case when email_key is not null then lower(trim(email)) end as email,
        phone_e164,
        mobile_phone_e164,
        case
            when coalesce({{ address.values() | join(', ') }}) is not null
                then {{ json_text(address) }}
        end as address,
        cast(is_deleted as varchar) as is_deleted,
        modified_at as first_seen_at,
        modified_at as last_seen_at
    from {{ ref('clean_crm__contacts') }}
    where record_id is not null {{ and_changed_record() }}
),

crm_phones as {{ inlined() }} (
    select
        record_id,
        phone_e164,
        first_seen_at,
        last_seen_at
    from crm_contacts
    union all
    select
        record_id,
        mobile_phone_e164,
        first_seen_at,
        last_seen_at
    from crm_contacts
),

pos_receipts as {{ inlined() }} (
    select
        record_id,
        case when email_key is not null then lower(trim(email)) end as email,
        phone_e164,
        sold_at as first_seen_at,
        sold_at as last_seen_at
    from {{ ref('clean_pos__receipts') }}
    where record_id is not null {{ and_changed_record() }}
),

callers as {{ inlined() }} (
    select
        record_id,
        {{ trimmed('verified_first_name') }} as first_name,
        first_name_key,
        {{ trimmed('verified_last_name') }} as last_name,
        last_name_folded,
        case when endpoint_email_key is not null then lower(trim(endpoint_address)) end as email,
        endpoint_e164,
        initiated_at as first_seen_at,
        initiated_at as last_seen_at
    from {{ ref('clean_contact_center__contacts') }}
    where record_id is not null {{ and_changed_record() }}
),

recipients as {{ inlined() }} (
    select
        record_id,
        lower(trim(recipient_email)) as email,
        event_at as first_seen_at,
        event_at as last_seen_at
    from {{ ref('clean_email__events') }}
    where record_id is not null {{ and_changed_record() }}
),

{%- for source in ['web', 'mobile'] %}

-- Traits come with few calls: those first, then the values.
{{ source }}_traits as (
    select
        record_id,
        {{ trimmed('first_name') }} as first_name,
        first_name_key,
        {{ trimmed('last_name') }} as last_name,
        last_name_folded,
        cast(birth_date as varchar) as birth_date,
        case when email_key is not null then lower(trim(email)) end as email,
        phone_e164,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from {{ ref('clean_' ~ source ~ '__events') }}
    where
        record_id is not null
        and coalesce(first_name, last_name, email_key, phone_e164, cast(birth_date as varchar))
        is not null
        {{ and_changed_record() }}
    group by 1, 2, 3, 4, 5, 6, 7, 8
),
{%- endfor %}

final as (
    {{ attribute_rows('crm_contacts', 'crm', 'first_name', 'first_name', 'first_name_key') }}
    union all
    {{ attribute_rows('crm_contacts', 'crm', 'last_name', 'last_name', 'last_name_folded') }}
    union all
    {{ attribute_rows('crm_contacts', 'crm', 'birth_date', 'birth_date') }}
    union all
    {{ attribute_rows('crm_contacts', 'crm', 'gender', 'gender') }}
    union all
    {{ attribute_rows('crm_contacts', 'crm', 'email', 'email') }}
    union all
    {{ attribute_rows('crm_phones', 'crm', 'phone', 'phone_e164') }}
    union all
    {{ attribute_rows('crm_contacts', 'crm', 'address', 'address') }}
    union all
    {{ attribute_rows('crm_contacts', 'crm', 'is_deleted', 'is_deleted') }}
    union all
    {{ attribute_rows('pos_receipts', 'pos', 'email', 'email') }}
    union all
    {{ attribute_rows('pos_receipts', 'pos', 'phone', 'phone_e164') }}
    union all
    {{ attribute_rows('callers', 'contact_center', 'first_name', 'first_name', 'first_name_key') }}
    union all
    {{ attribute_rows('callers', 'contact_center', 'last_name', 'last_name', 'last_name_folded') }}
    union all
    {{ attribute_rows('callers', 'contact_center', 'email', 'email') }}
    union all
    {{ attribute_rows('callers', 'contact_center', 'phone', 'endpoint_e164') }}
    union all
    {{ attribute_rows('recipients', 'email', 'email', 'email') }}
    {%- for source in ['web', 'mobile'] %}
    union all
    {{ attribute_rows(source ~ '_traits', source, 'first_name', 'first_name', 'first_name_key') }}
    union all
    {{ attribute_rows(source ~ '_traits', source, 'last_name', 'last_name', 'last_name_folded') }}
    union all
    {{ attribute_rows(source ~ '_traits', source, 'birth_date', 'birth_date') }}
    union all
    {{ attribute_rows(source ~ '_traits', source, 'email', 'email') }}
    union all
    {{ attribute_rows(source ~ '_traits', source, 'phone', 'phone_e164') }}
    {%- endfor %}
)

select * from final
