{# Why a value is on the list of patterns of `blocked_identifiers`; NULL where it is not.

   The patterns go into the SQL as literals: an engine compiles a literal once and a column's value
   for every row, which costs a hundred times as much. #}
{% macro blocked_pattern_note(relation) -%}
    {%- if not execute or not flags.INTROSPECT %}{{ return('cast(null as varchar)') }}{% endif -%}
    {%- set rows = run_query(
        "select identifier_type, pattern, note from " ~ ref('blocked_identifiers')
        ~ " where match = 'regex' order by identifier_type, pattern") -%}
    case
        {%- for row in rows %}
        when {{ relation }}.identifier_type = '{{ row[0] }}'
            and {{ matches_pattern(relation ~ ".identifier_value", row[1] | replace("'", "''")) }}
            then '{{ row[2] | replace("'", "''") }}'
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
