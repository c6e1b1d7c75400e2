-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
{{ config(pre_hook="{{ forget_changed_records() }}") }}

{%- set address = {
    'street': trimmed('mailing_street'),
    'city': trimmed('mailing_city'),
    'state': trimmed('mailing_state'),
    'postal_code': trimmed('mailing_postal_code'),
    'country': 'coalesce(country_code, ' ~ trimmed('mailing_country') ~ ')',
} %}

{%- set given_email = 'case when email_key is not null then lower('
    ~ trim_spaces('email') ~ ') end' %}

{%- set crm_columns = {
    'first_name': trimmed('first_name'),
    'first_name_key': 'first_name_key',
    'last_name': trimmed('last_name'),
    'last_name_folded': 'last_name_folded',
    'birth_date': 'cast(birth_date as varchar)',
    'gender': trimmed('gender'),
    'national_id': trimmed('national_id'),
    'email': given_email,
    'email_key': 'email_key',
    'phone_e164': 'phone_e164',
    'other_phone_e164': 'nullif(mobile_phone_e164, coalesce(phone_e164, \'\'))',
    'address': 'case when coalesce(' ~ address.values() | join(', ') ~ ') is not null then '
        ~ json_text(address) ~ ' end',
} %}

with {{ crm_versions(crm_columns) }},

crm_phones as {{ inlined() }} (
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

pos_receipts as {{ inlined() }} (
    select
        record_id,
        {{ given_email }} as email,
        email_key,
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
        case
            when endpoint_email_key is not null then lower({{ trim_spaces('endpoint_address') }})
        end as email,
        endpoint_email_key,
        endpoint_e164,
        initiated_at as first_seen_at,
        initiated_at as last_seen_at
    from {{ ref('clean_contact_center__contacts') }}
    where record_id is not null {{ and_changed_record() }}
),

-- An address is seen in use by what its owner does there, not by what we send, what servers answer
-- or a wish to be left alone. Without that it has the earliest time a row may have: it yields to
-- any address that somebody gave, and stands where there is no other.
recipients as {{ inlined() }} (
    select
        record_id,
        lower({{ trim_spaces('recipient_email') }}) as email,
        email_key,
        event_at as first_seen_at,
        case
            when
                event_type in ('Open', 'Click')
                or (event_type = 'Subscription' and not is_unsubscribe_all)
                then event_at
            else timestamp '1900-01-01 00:00:00'
        end as last_seen_at
    from {{ ref('clean_email__events') }}
    where record_id is not null {{ and_changed_record() }}
),

{%- for source in ['web', 'mobile'] %}

-- Traits come with few calls: those first, then the values.
{{ source }}_traits as (
    select
        record_id,
        first_name,
        first_name_key,
        last_name,
        last_name_folded,
        birth_date,
        email,
        email_key,
        phone_e164,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from {{ ref('clean_' ~ source ~ '__events') }}
    where
        record_id is not null
        and coalesce(first_name, last_name, email_key, phone_e164, cast(birth_date as varchar))
        is not null
        {{ and_changed_record() }}
    group by
        record_id,
        first_name,
        first_name_key,
        last_name,
        last_name_folded,
        birth_date,
        email,
        email_key,
        phone_e164
),
{%- endfor %}

final as (
    {%- for relation, phones in [
        ('crm_once', [('crm_once', 'phone_e164'), ('crm_once', 'other_phone_e164')]),
        ('crm_often', [('crm_phones', 'phone_e164')]),
    ] %}
    {%- set once = relation == 'crm_once' %}
    {{ attribute_rows(relation, 'crm', 'first_name', 'first_name', 'first_name_key', once) }}
    union all
    {{ attribute_rows(relation, 'crm', 'last_name', 'last_name', 'last_name_folded', once) }}
    union all
    {{ attribute_rows(relation, 'crm', 'email', 'email', 'email_key', once) }}
    {%- for attribute in ['birth_date', 'gender', 'national_id', 'address'] %}
    union all
    {{ attribute_rows(relation, 'crm', attribute, attribute, is_grouped=once) }}
    {%- endfor %}
    {%- for phone_relation, phone in phones %}
    union all
    {{ attribute_rows(phone_relation, 'crm', 'phone', phone, is_grouped=once) }}
    {%- endfor %}
    union all
    {%- endfor %}
    {{ attribute_rows('pos_receipts', 'pos', 'email', 'email', 'email_key') }}
    union all
    {{ attribute_rows('pos_receipts', 'pos', 'phone', 'phone_e164') }}
    union all
    {{ attribute_rows('callers', 'contact_center', 'first_name', 'first_name', 'first_name_key') }}
    union all
    {{ attribute_rows('callers', 'contact_center', 'last_name', 'last_name', 'last_name_folded') }}
    union all
    {{ attribute_rows('callers', 'contact_center', 'email', 'email', 'endpoint_email_key') }}
    union all
    {{ attribute_rows('callers', 'contact_center', 'phone', 'endpoint_e164') }}
    union all
    {{ attribute_rows('recipients', 'email', 'email', 'email', 'email_key') }}
    {%- for source in ['web', 'mobile'] %}
    {%- for attribute, value, match_key in [
        ('first_name', trimmed('first_name'), 'first_name_key'),
        ('last_name', trimmed('last_name'), 'last_name_folded'),
        ('birth_date', 'cast(birth_date as varchar)', 'null'),
        ('email', given_email, 'email_key'),
        ('phone', 'phone_e164', 'null'),
    ] %}
    union all
    {{ attribute_rows(source ~ '_traits', source, attribute, value, match_key) }}
    {%- endfor %}
    {%- endfor %}
)

select * from final
