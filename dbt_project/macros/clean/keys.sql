{# A surrogate key: MD5 of the parts of a natural key, in order. NULL parts count as empty. #}
{% macro surrogate_key(parts) -%}
    {{ md5_hex(joined_parts(parts)) }}
{%- endmacro %}

{% macro joined_parts(parts) -%}
    {%- set texts = [] -%}
    {%- for part in parts -%}
        {%- do texts.append("coalesce(cast(" ~ part ~ " as varchar), '')") -%}
    {%- endfor -%}
    {{ return(texts | join(" || '|' || ")) }}
{%- endmacro %}


{# The key of somebody known by what they gave: MD5 of the parts, NULL where no part is given.
   Qualifiers tell people with equal parts apart; alone they are no key. #}
{% macro party_key(parts, qualifiers=[]) -%}
    {%- set given = "nullif(" ~ joined_parts(parts) ~ ", '" ~ '|' * (parts | length - 1) ~ "')" -%}
    {{ md5_hex([given, joined_parts(qualifiers)] | select | join(" || '|' || ")) }}
{%- endmacro %}


{# The patterns of `blocked_identifiers`, as rows of type, pattern and note; case makes no difference.

   They go into the SQL as literals: an engine compiles a literal once and a column's value for every
   row, which costs a hundred times as much. #}
{% macro blocked_patterns() -%}
    {%- set blocklist = ref('blocked_identifiers') -%}
    {%- if not execute or not flags.INTROSPECT %}{{ return([]) }}{% endif -%}
    {%- set rows = run_query(
        "select identifier_type, pattern, note from " ~ blocklist
        ~ " where match = 'regex' order by identifier_type, pattern") -%}
    {%- set texts = [] -%}
    {%- for row in rows -%}
        {%- do texts.append(
            [row[0], "(?i)" ~ row[1] | replace("'", "''"), row[2] | replace("'", "''")]) -%}
    {%- endfor -%}
    {{ return(texts) }}
{%- endmacro %}


{# An identifier as part of a record's key: NULL where `blocked_identifiers` has it. What many people
   write in the same field, `undefined` or `cash`, would make one record of them all.

   blocked: what `blocked_patterns` gave, asked once per model. #}
{% macro telling(value, identifier_type, blocked) -%}
    {%- set patterns = [] -%}
    {%- for row in blocked if row[0] == identifier_type -%}
        {%- do patterns.append("(" ~ row[1] ~ ")") -%}
    {%- endfor -%}
    case
        when {{ value }} in (
            select pattern from {{ ref('blocked_identifiers') }}
            where identifier_type = '{{ identifier_type }}' and match = 'exact'
        ) then null
        {%- if patterns %}
        when {{ matches_pattern(value, patterns | join("|")) }} then null
        {%- endif %}
        else {{ value }}
    end
{%- endmacro %}
