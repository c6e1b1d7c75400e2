-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ retire_changed_records() }}") }}

{%- set crm_columns = {
    'contact_id': 'contact_id',
    'email_key': 'email_key',
    'phone_e164': 'phone_e164',
    'other_phone_e164': 'nullif(mobile_phone_e164, coalesce(phone_e164, \'\'))',
    'loyalty_id': 'loyalty_id',
    'exists_since': 'least(coalesce(created_at, modified_at), modified_at)',
} %}

with {{ crm_versions(crm_columns) }},

-- A contact exists since its creation, whichever of its versions were delivered.
crm_ids as (
    select
        record_id,
        contact_id,
        min(exists_since) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from crm_often
    group by record_id, contact_id
    union all
    select
        record_id,
        contact_id,
        exists_since as first_seen_at,
        last_seen_at
    from crm_once
),

crm_phones as (
    select
        record_id,
        phone_e164,
        first_seen_at,
        last_seen_at
    from crm_often
    union all
    select
        record_id,
        other_phone_e164,
        first_seen_at,
        last_seen_at
    from crm_often
),

-- The other records have few combinations of values: those first, then the values.
parties as (
    select
        record_id,
        loyalty_id,
        email_key,
        phone_e164,
        card_token,
        min(sold_at) as first_seen_at,
        max(sold_at) as last_seen_at
    from {{ ref('clean_pos__receipts') }}
    where record_id is not null {{ and_changed_record() }}
    group by record_id, loyalty_id, email_key, phone_e164, card_token
),

callers as (
    select
        record_id,
        endpoint_email_key,
        endpoint_e164,
        loyalty_id,
        min(initiated_at) as first_seen_at,
        max(initiated_at) as last_seen_at
    from {{ ref('clean_contact_center__contacts') }}
    where record_id is not null {{ and_changed_record() }}
    group by record_id, endpoint_email_key, endpoint_e164, loyalty_id
),

recipients as (
    select
        record_id,
        email_key,
        event_at as first_seen_at,
        event_at as last_seen_at
    from {{ ref('clean_email__events') }}
    where record_id is not null {{ and_changed_record() }}
),

{%- for source in ['web', 'mobile'] %}

{{ source }}_visits as (
    select
        record_id,
        user_id,
        anonymous_id,
        email_key,
        phone_e164,
        loyalty_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from {{ ref('clean_' ~ source ~ '__events') }}
    where record_id is not null {{ and_changed_record() }}
    group by record_id, user_id, anonymous_id, email_key, phone_e164, loyalty_id
),

{{ source }}_devices as (
    select
        record_id,
        anonymous_id,
        first_seen_at,
        last_seen_at
    from {{ source }}_visits
    union all
    -- An alias call names the device id that came before.
    select
        record_id,
        previous_id,
        occurred_at as first_seen_at,
        occurred_at as last_seen_at
    from {{ ref('clean_' ~ source ~ '__events') }}
    where call_type = 'alias' and record_id is not null {{ and_changed_record() }}
),
{%- endfor %}

observed as (
    {{ identifier_rows('crm_ids', 'crm', 'crm_id', 'contact_id', 'unique', true) }}
    union all
    {{ identifier_rows('crm_once', 'crm', 'loyalty_id', 'loyalty_id', 'unique', true) }}
    union all
    {{ identifier_rows('crm_once', 'crm', 'email', 'email_key', 'contact', true) }}
    union all
    {{ identifier_rows('crm_once', 'crm', 'phone', 'phone_e164', 'contact', true) }}
    union all
    {{ identifier_rows('crm_once', 'crm', 'phone', 'other_phone_e164', 'contact', true) }}
    union all
    {{ identifier_rows('crm_often', 'crm', 'loyalty_id', 'loyalty_id', 'unique') }}
    union all
    {{ identifier_rows('crm_often', 'crm', 'email', 'email_key', 'contact') }}
    union all
    {{ identifier_rows('crm_phones', 'crm', 'phone', 'phone_e164', 'contact') }}
    union all
    {{ identifier_rows('parties', 'pos', 'loyalty_id', 'loyalty_id', 'unique') }}
    union all
    {{ identifier_rows('parties', 'pos', 'email', 'email_key', 'contact') }}
    union all
    {{ identifier_rows('parties', 'pos', 'phone', 'phone_e164', 'contact') }}
    union all
    {{ identifier_rows('parties', 'pos', 'card_token', 'card_token', 'contact') }}
    union all
    {{ identifier_rows('callers', 'contact_center', 'email', 'endpoint_email_key', 'contact') }}
    union all
    {{ identifier_rows('callers', 'contact_center', 'phone', 'endpoint_e164', 'contact') }}
    union all
    {{ identifier_rows('callers', 'contact_center', 'loyalty_id', 'loyalty_id', 'unique') }}
    union all
    {{ identifier_rows('recipients', 'email', 'email', 'email_key', 'contact') }}
    {%- for source in ['web', 'mobile'] %}
    union all
    {{ identifier_rows(source ~ '_visits', source, 'user_id', 'user_id', 'unique') }}
    union all
    {{ identifier_rows(source ~ '_visits', source, 'loyalty_id', 'loyalty_id', 'unique') }}
    union all
    {{ identifier_rows(source ~ '_visits', source, 'email', 'email_key', 'contact') }}
    union all
    {{ identifier_rows(source ~ '_visits', source, 'phone', 'phone_e164', 'contact') }}
    union all
    {{ identifier_rows(source ~ '_devices', source, 'device_id', 'anonymous_id', 'device') }}
    {%- endfor %}
),

final as (
    select
        *,
        true as is_current
    from observed
)

select * from final
