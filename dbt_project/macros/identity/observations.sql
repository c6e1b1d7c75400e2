{# From cleansed rows to what was observed of each record, one row per value. #}

{# The values of one column as rows of `record_attributes`.

   relation: has record_id, the column, first_seen_at and last_seen_at.
   is_grouped: the relation has one row per record; there is nothing to gather. #}
{% macro attribute_rows(relation, source, attribute, value, match_key='null', is_grouped=false) -%}
    {%- set columns = {'attribute': "'" ~ attribute ~ "'", 'value': value} -%}
    {%- set carried = {'match_key': match_key} -%}
    {{ observed_rows(relation, source, columns, value, carried, is_grouped) }}
{%- endmacro %}

{# The values of one column as rows of `identifiers`. #}
{% macro identifier_rows(relation, source, identifier_type, value, trust, is_grouped=false) -%}
    {%- set columns = {'identifier_type': "'" ~ identifier_type ~ "'", 'identifier_value': value} -%}
    {%- set carried = {'trust': "'" ~ trust ~ "'"} -%}
    {{ observed_rows(relation, source, columns, value, carried, is_grouped) }}
{%- endmacro %}

{% macro observed_rows(relation, source, columns, value, carried, is_grouped) -%}
    select
        record_id,
        {%- for name, expression in columns.items() %}
        {{ expression }} as {{ name }},
        {%- endfor %}
        {%- for name, expression in carried.items() %}
        cast({{ expression if is_grouped else 'min(' ~ expression ~ ')' }} as varchar) as {{ name }},
        {%- endfor %}
        '{{ source }}' as source,
        {{ 'first_seen_at' if is_grouped else 'min(first_seen_at)' }} as first_seen_at,
        {{ 'last_seen_at' if is_grouped else 'max(last_seen_at)' }} as last_seen_at
    from {{ relation }}
    where {{ value }} is not null
    {%- if not is_grouped %}
    group by record_id, {{ value }}
    {%- endif %}
{%- endmacro %}


{# The versions of CRM contacts that this run computes (`changed` is a condition, where it is not the
   usual one), in two CTEs: `crm_once`, contacts of one
   version, which are most and need no gathering, and `crm_often`, all versions of the others. #}
{% macro crm_versions(columns, changed='') -%}
    {#- Few rows of a changed record: kept. All rows: read again by each that asks. #}
    crm_contacts as {{ '' if is_partial() else inlined() }} (
        select
            record_id,
            {%- for name, expression in columns.items() %}
            {{ expression }} as {{ name }},
            {%- endfor %}
            modified_at as first_seen_at,
            modified_at as last_seen_at
        from {{ ref('clean_crm__contacts') }}
        where record_id is not null {{ changed or and_changed_record() }}
    ),

    crm_several_versions as (
        select record_id
        from crm_contacts
        group by record_id
        having count(*) > 1
    ),

    crm_once as {{ inlined() }} (
        select * from crm_contacts
        where not exists (
            select 1 from crm_several_versions as several
            where several.record_id = crm_contacts.record_id
        )
    ),

    crm_often as (
        select * from crm_contacts
        where exists (
            select 1 from crm_several_versions as several
            where several.record_id = crm_contacts.record_id
        )
    )
{%- endmacro %}


{# A text without outer spaces; NULL where nothing is left. #}
{% macro trimmed(text) %}{{- return("nullif(" ~ trim_spaces(text) ~ ", '')") -}}{% endmacro %}


{# Aggregate: the value that was seen last, NULL ones left out; of two seen at one time the greater.
   Text of eighteen digits compares like the number, and one plain max() is five times as fast as
   the engines' own aggregates over a pair. Two and not one as the first digit: what is taken away
   for a time before 1970 must leave eighteen. #}
{% macro newest(value, at, condition='true') -%}
    {{ _value_at('max', value, at, condition) }}
{%- endmacro %}

{# Aggregate: the value that was seen first, of two seen at one time the lesser; see `newest`. #}
{% macro oldest(value, at, condition='true') -%}
    {{ _value_at('min', value, at, condition) }}
{%- endmacro %}

{% macro _value_at(aggregate, value, at, condition) -%}
    substr({{ aggregate }}(
        case
            when {{ condition }}
                then cast(200000000000000000 + {{ epoch_micros(at) }} as varchar) || {{ value }}
        end
    ), 19)
{%- endmacro %}
