{# From cleansed rows to what was observed of each record, one row per value. #}

{# The values of one column as rows of `record_attributes`. #}
{% macro attribute_rows(relation, source, attribute, value, match_key='null') -%}
    select
        record_id,
        '{{ attribute }}' as attribute,
        {{ value }} as value,
        cast(min({{ match_key }}) as varchar) as match_key,
        '{{ source }}' as source,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from {{ relation }}
    where {{ value }} is not null
    group by record_id, {{ value }}
{%- endmacro %}

{# The values of one column as rows of `identifiers`. #}
{% macro identifier_rows(relation, source, identifier_type, value, trust) -%}
    select
        record_id,
        '{{ identifier_type }}' as identifier_type,
        {{ value }} as identifier_value,
        '{{ source }}' as source,
        '{{ trust }}' as trust,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from {{ relation }}
    where {{ value }} is not null
    group by record_id, {{ value }}
{%- endmacro %}

{# A text without outer white space; NULL where nothing is left. #}
{% macro trimmed(text) %}{{- return("nullif(trim(" ~ text ~ "), '')") -}}{% endmacro %}


{# Aggregate over `record_attributes`: the value of an attribute that was seen last; of two seen at
   the same time the greater. Text of eighteen digits compares like the number, and one plain
   max() is five times as fast as the engines' own aggregates over a pair. #}
{% macro newest_value(attribute, column) -%}
    substr(max(
        case
            when attribute = '{{ attribute }}'
                then cast(100000000000000000 + {{ epoch_micros('last_seen_at') }} as varchar)
                    || {{ column }}
        end
    ), 19)
{%- endmacro %}
