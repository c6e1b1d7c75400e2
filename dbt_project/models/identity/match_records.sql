-- depends_on: {{ ref('source_changes') }}, {{ ref('changed_records') }}
-- depends_on: {{ ref('identity_rules') }}, {{ ref('suppressed_identifiers') }}
{{ config(pre_hook="{{ retire_told_anew() }}") }}

{%- set crm_columns = {
    'first_name': 'first_name_folded',
    'first_name_key': 'first_name_key',
    'last_name': 'last_name_folded',
    'birth_date': 'cast(birth_date as varchar)',
    'gender': fold_gender('gender'),
    'email': 'email_key',
    'phone': 'coalesce(phone_e164, mobile_phone_e164)',
    'other_phone': 'nullif(mobile_phone_e164, coalesce(phone_e164, mobile_phone_e164))',
    'street': fold_text('mailing_street'),
    'city': fold_text('mailing_city'),
    'state': fold_text('mailing_state'),
    'postcode': fold_text('mailing_postal_code'),
    'national_id': fold_number('national_id'),
    'loyalty_id': 'loyalty_id',
    'is_deleted': 'is_deleted',
    'exists_since': 'least(coalesce(created_at, modified_at), modified_at)',
} %}
{%- set told_columns = match_columns() | reject('in', derived_match_columns()) | list %}

{#- Few: kept, and looked up by everything below. #}
{%- set and_told = 'and record_id in (select told_anew.record_id from told_anew)'
    if is_partial() else '' %}

with

{%- if is_partial() %}

-- Whom the pre-hook found, and those that had no match record yet. What an earlier run retired, one
-- that failed half way, the pre-hook found again.
told_anew as {{ materialized() }} (
    select record_id from {{ ref('changed_records') }}
    union
    select record_id from {{ this }}
    where not is_current
),
{%- endif %}

{{ crm_versions(crm_columns, and_told) }},

-- What a contact's newest version that says something says.
crm_newest as (
    select
        record_id,
        {%- for column in told_columns if column != 'other_phone' %}
        {{ newest(column, 'last_seen_at') }} as {{ column }},
        {%- endfor %}
        nullif(
            coalesce(
                {{ newest('other_phone', 'last_seen_at') }}, {{ oldest('phone', 'last_seen_at') }}
            ),
            {{ newest('phone', 'last_seen_at') }}
        ) as other_phone,
        {{ newest('cast(is_deleted as varchar)', 'last_seen_at') }} = 'true' as is_deleted,
        min(exists_since) as exists_since
    from crm_often
    group by record_id
),

-- Logins and callers that told a name or a birth date; no other record says who somebody is.
told as (
    select
        record_id,
        {{ newest('value', 'last_seen_at', "attribute = 'first_name'") }} as first_name,
        {{ newest('match_key', 'last_seen_at', "attribute = 'first_name'") }} as first_name_key,
        {{ newest('match_key', 'last_seen_at', "attribute = 'last_name'") }} as last_name,
        {{ newest('value', 'last_seen_at', "attribute = 'birth_date'") }} as birth_date
    from {{ ref('record_attributes') }}
    where
        source <> 'crm'
        and attribute in ('first_name', 'last_name', 'birth_date')
        {{ and_told }}
    group by record_id
),

reachable as (
    select
        record_id,
        {{ newest('identifier_value', 'last_seen_at', "identifier_type = 'email'") }} as email,
        {{ newest('identifier_value', 'last_seen_at', "identifier_type = 'phone'") }} as phone,
        {{ oldest('identifier_value', 'last_seen_at', "identifier_type = 'phone'") }}
            as oldest_phone,
        {{ newest('identifier_value', 'last_seen_at', "identifier_type = 'loyalty_id'") }}
            as loyalty_id
    from {{ ref('identifiers') }}
    where
        is_current
        and source <> 'crm'
        and record_id in (select told.record_id from told)
    group by record_id
),

tellers as (
    select
        records.record_id,
        {{ fold_name('told.first_name') }} as first_name,
        told.first_name_key,
        told.last_name,
        told.birth_date,
        reachable.email,
        reachable.phone,
        nullif(reachable.oldest_phone, reachable.phone) as other_phone,
        reachable.loyalty_id,
        records.first_seen_at
    from told
    inner join {{ ref('identity_records') }} as records
        on told.record_id = records.record_id
    left join reachable
        on told.record_id = reachable.record_id
    where records.record_kind <> 'device'
),

persons as (
    {%- for relation in ['crm_once', 'crm_newest'] %}
    select
        record_id,
        {{ told_columns | join(',\n        ') }},
        exists_since as first_seen_at
    from {{ relation }}
    where not is_deleted
    union all
    {%- endfor %}
    select
        record_id,
        {%- for column in told_columns %}
        {{ column if column in ['first_name', 'first_name_key', 'last_name', 'birth_date', 'email',
            'phone', 'other_phone', 'loyalty_id'] else 'cast(null as varchar) as ' ~ column }},
        {%- endfor %}
        first_seen_at
    from tellers
),

-- What stands for nobody says nothing. No address has more than 254 letters (RFC 5321), and an edit
-- distance costs the product of two lengths. Not cut: a suppressed one must be found.
meaningful as {{ inlined() }} (
    select
        record_id,
        case
            when first_name_key not in ({{ placeholder_first_names() }}) then first_name
        end as first_name,
        case
            when first_name_key not in ({{ placeholder_first_names() }}) then first_name_key
        end as first_name_key,
        last_name,
        case
            when birth_date not in ({{ placeholder_birth_dates() }}) then birth_date
        end as birth_date,
        gender,
        case when length(email) <= 254 then email end as email,
        phone,
        other_phone,
        street,
        city,
        state,
        postcode,
        national_id,
        loyalty_id,
        first_seen_at
    from persons
),

named as {{ inlined() }} (
    select
        *,
        first_name || ' ' || last_name as full_name
    from meaningful
),

-- Many people share a name: how it sounds is worked out once.
first_words as (
    select
        word,
        {{ name_sound('word') }} as sound,
        {{ sorted_letters('word') }} as letters
    from (
        select distinct {{ first_word('first_name') }} as word from meaningful
    ) as words
),

last_names as (
    select
        last_name,
        {{ name_sound('last_name') }} as sound
    from (
        select distinct last_name from meaningful
    ) as names
),

suppressed as (
    select * from {{ ref('suppressed_identifiers') }}
),

frequencies as (
    select * from {{ source('identity', 'match_term_frequencies') }}
),

final as (
    select
        named.record_id,
        named.first_name,
        named.first_name_key,
        named.last_name,
        named.birth_date,
        cast(
            date_diff('day', date '1970-01-01', cast(named.birth_date as date)) as integer
        ) as birth_days,
        named.gender,
        case when suppressed_emails.identifier_value is null then named.email end as email,
        coalesce(
            case when suppressed_phones.identifier_value is null then named.phone end,
            case when suppressed_other_phones.identifier_value is null then named.other_phone end
        ) as phone,
        case
            when
                suppressed_phones.identifier_value is null
                and suppressed_other_phones.identifier_value is null
                then named.other_phone
        end as other_phone,
        named.street,
        named.city,
        named.state,
        named.postcode,
        named.national_id,
        case
            when suppressed_loyalty_ids.identifier_value is null then named.loyalty_id
        end as loyalty_id,
        first_words.sound as first_name_sound,
        first_words.letters as first_name_letters,
        last_names.sound as last_name_sound,
        named.full_name,
        named.first_seen_at,
        {%- for column in frequency_columns() %}
        {%- if column in used_frequency_columns() %}
        case
            when named.{{ column }} is not null
                then coalesce({{ column }}_frequencies.frequency, {{ column }}_rest.frequency)
        end as tf_{{ column }},
        {%- else %}
        cast(null as double) as tf_{{ column }},
        {%- endif %}
        {%- endfor %}
        true as is_current
    from named
    left join first_words
        on {{ first_word('named.first_name') }} = first_words.word
    left join last_names
        on named.last_name = last_names.last_name
    {%- for column, identifier_type in identifying_match_columns() %}
    left join suppressed as suppressed_{{ column }}s
        on
            suppressed_{{ column }}s.identifier_type = '{{ identifier_type }}'
            and named.{{ column }} = suppressed_{{ column }}s.identifier_value
    {%- endfor %}
    {%- for column in used_frequency_columns() %}
    left join frequencies as {{ column }}_frequencies
        on
            {{ column }}_frequencies.field = '{{ column }}'
            and named.{{ column }} = {{ column }}_frequencies.value
    -- Of a value that the model does not list.
    left join frequencies as {{ column }}_rest
        on {{ column }}_rest.field = '{{ column }}' and {{ column }}_rest.value = ''
    {%- endfor %}
    where
        coalesce(
            named.first_name, named.last_name, named.birth_date, named.national_id
        ) is not null
)

select * from final
