{{ config(unique_key='contact_version_id') }}

with

source as {{ inlined() }} (
    {{ new_deliveries(source('sources', 'raw_crm__contacts')) }}
),

deliveries as (
    {{ collapse_deliveries('source', key=['contact_id', 'modified_at_utc']) }}
),

nicknames as (
    select * from {{ ref('nicknames') }}
),

countries as (
    select * from {{ ref('countries') }}
),

typed as (
    select
        contact_id,
        first_name,
        last_name,
        email,
        phone,
        phone_e164,
        mobile_phone,
        mobile_phone_e164,
        mailing_street,
        mailing_city,
        mailing_state,
        mailing_postal_code,
        mailing_country,
        try_cast(birth_date as date) as birth_date,
        gender,
        loyalty_id,
        national_id,
        {{ to_boolean('is_email_opted_out') }} as is_email_opted_out,
        {{ to_boolean('is_call_opted_out') }} as is_call_opted_out,
        {{ to_boolean('is_deleted') }} as is_deleted,
        cast(created_at_utc as timestamp(6)) as created_at,
        cast(modified_at_utc as timestamp(6)) as modified_at,
        {{ fold_name('first_name') }} as first_name_folded,
        {{ fold_name('last_name') }} as last_name_folded,
        {{ delivery_columns() }}
    from deliveries
),

normalised as (
    select
        typed.*,
        {{ surrogate_key(['typed.contact_id', epoch_micros('typed.modified_at')]) }}
            as contact_version_id,
        'crm:contact:' || typed.contact_id as record_id,
        coalesce(nicknames.canonical_name, {{ first_word('typed.first_name_folded') }})
            as first_name_key,
        {{ email_match_key('typed.email') }} as email_key,
        countries.alpha2 as country_code
    from typed
    left join nicknames
        on {{ first_word('typed.first_name_folded') }} = nicknames.name
    left join countries
        on {{ country_lookup_key('typed.mailing_country') }} = countries.name
),

final as (
    {{ merge_with_present('normalised', key=['contact_id', 'modified_at']) }}
)

select * from final
