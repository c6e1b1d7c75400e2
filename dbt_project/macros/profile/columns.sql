{# Lists of columns and values that several profile models share. #}

{# The sources a profile may come from, in alphabetical order. #}
{% macro profile_sources() -%}
    {{ return(['contact_center', 'crm', 'email', 'mobile', 'pos', 'web']) }}
{%- endmacro %}

{# The columns whose change makes a new version of a profile. What every visit changes (times,
   counts, sources) makes none: the timeline tells that. #}
{% macro versioned_profile_columns() -%}
    {{ return([
        'profile_type', 'is_deleted', 'first_name', 'last_name', 'birth_date', 'gender', 'email',
        'phone_e164', 'street', 'city', 'state', 'postal_code', 'country_code',
    ]) }}
{%- endmacro %}
