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

{# The same of the versions that are there. Older code may have made their table, and it is never
   built anew: a column that it did not have is NULL in them. #}
{% macro closed_profile_columns(relation) -%}
    {%- set there = adapter.get_columns_in_relation(this) | map(attribute='name') | map('lower') | list -%}
    {%- for column in versioned_profile_columns() -%}
    {{ relation ~ '.' ~ column if column in there else 'null' }} as {{ column }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
