-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ retire_changed_identifiers() }}") }}

with crm_contacts as {{ inlined() }} (
    select
        record_id,
        email_key,
        phone_e164,
        mobile_phone_e164,
        loyalty_id,
        modified_at as first_seen_at,
        modified_at as last_seen_at
    from {{ ref('clean_crm__contacts') }}
    where record_id is not null {{ and_changed_record() }}
),

-- A contact exists since its creation, whichever of its versions were delivered.
crm_ids as (
    select
        record_id,
        contact_id,
        least(coalesce(created_at, modified_at), modified_at) as first_seen_at,
        modified_at as last_seen_at
    from {{ ref('clean_crm__contacts') }}
    where record_id is not null {{ and_changed_record() }}
),

crm_phones as (
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
    group by 1, 2, 3, 4, 5
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
    group by 1, 2, 3, 4
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
        case when call_type = 'alias' then previous_id end as aliased_id,
        email_key,
        phone_e164,
        loyalty_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from {{ ref('clean_' ~ source ~ '__events') }}
    where record_id is not null {{ and_changed_record() }}
    group by 1, 2, 3, 4, 5, 6, 7
),

{{ source }}_devices as (
    select
        record_id,
        anonymous_id,
        first_seen_at,
        last_seen_at
    from {{ source }}_visits
    union all
    select
        record_id,
        aliased_id,
        first_seen_at,
        last_seen_at
    from {{ source }}_visits
),
{%- endfor %}

observed as (
    {{ identifier_rows('crm_ids', 'crm', 'crm_id', 'contact_id', 'unique') }}
    union all
    {{ identifier_rows('crm_contacts', 'crm', 'loyalty_id', 'loyalty_id', 'unique') }}
    union all
    {{ identifier_rows('crm_contacts', 'crm', 'email', 'email_key', 'contact') }}
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
