{# Why a value is on the list of patterns of `blocked_identifiers`; NULL where it is not. #}
{% macro blocked_pattern_note(relation) -%}
    case
        {%- for identifier_type, pattern, note in blocked_patterns() %}
        when {{ relation }}.identifier_type = '{{ identifier_type }}'
            and {{ matches_pattern(relation ~ ".identifier_value", pattern) }}
            then '{{ note }}'
        {%- else %}
        when true then cast(null as varchar)
        {%- endfor %}
    end
{%- endmacro %}


{# How far anonymous visits may lie from a login on the same device and still be that person's.
   Valid 1 to 730 days: devices are sold and passed on; a quarter is the usual campaign. #}
{% macro device_window() %}{{- return("interval '90' day") -}}{% endmacro %}


{# The version of the rules behind every edge: raise it with any change of identity's SQL or seeds. #}
{% macro identity_rule_version() %}{{ return('1') }}{% endmacro %}


{# First names that people put into a form that insists on one: they tell nobody apart. #}
{% macro placeholder_first_names() -%}
    'anonymous', 'customer', 'guest', 'mr', 'mrs', 'ms', 'na', 'n', 'none', 'null', 'tbd',
    'test', 'unknown', 'user', 'x', 'xx', 'xxx'
{%- endmacro %}


{# Birth dates that forms fill in by themselves: they tell nobody apart. #}
{% macro placeholder_birth_dates() -%}
    '1900-01-01', '1901-01-01', '1970-01-01', '2000-01-01'
{%- endmacro %}
