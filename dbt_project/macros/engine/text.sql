{# Text functions that the engines spell differently. The default is DuckDB. #}

{# Every match of a regular expression replaced by plain text (no group references: the engines
   write those differently). Patterns stay within what RE2 and Trino's engine share. #}
{% macro replace_pattern(text, pattern, replacement="") %}
    {{- return(adapter.dispatch('replace_pattern', 'cdp')(text, pattern, replacement)) -}}
{% endmacro %}

{% macro default__replace_pattern(text, pattern, replacement) %}
    {{- return("regexp_replace(" ~ text ~ ", '" ~ pattern ~ "', '" ~ replacement ~ "', 'g')") -}}
{% endmacro %}

{% macro athena__replace_pattern(text, pattern, replacement) %}
    {{- return("regexp_replace(" ~ text ~ ", '" ~ pattern ~ "', '" ~ replacement ~ "')") -}}
{% endmacro %}


{# Whether a regular expression matches anywhere in the text. #}
{% macro matches_pattern(text, pattern) %}
    {{- return(adapter.dispatch('matches_pattern', 'cdp')(text, pattern)) -}}
{% endmacro %}

{% macro default__matches_pattern(text, pattern) %}
    {{- return("regexp_matches(" ~ text ~ ", '" ~ pattern ~ "')") -}}
{% endmacro %}

{% macro athena__matches_pattern(text, pattern) %}
    {{- return("regexp_like(" ~ text ~ ", '" ~ pattern ~ "')") -}}
{% endmacro %}


{# Unicode composed form (NFC): one spelling for letters that have two. #}
{% macro compose_unicode(text) %}
    {{- return(adapter.dispatch('compose_unicode', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__compose_unicode(text) %}{{- return("nfc_normalize(" ~ text ~ ")") -}}{% endmacro %}

{% macro athena__compose_unicode(text) %}{{- return("normalize(" ~ text ~ ", NFC)") -}}{% endmacro %}


{# Letters without their combining marks. Letters that carry no mark (ø, ł, ß) stay. #}
{% macro strip_marks(text) %}
    {{- return(adapter.dispatch('strip_marks', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__strip_marks(text) %}{{- return("strip_accents(" ~ text ~ ")") -}}{% endmacro %}

{% macro athena__strip_marks(text) %}
    {{- return("normalize(regexp_replace(normalize(" ~ text ~ ", NFD), '\\p{M}'), NFC)") -}}
{% endmacro %}


{# The letters of a text in alphabetical order: two words that differ by letters swapped are equal. #}
{% macro sorted_letters(text) %}
    {{- return(adapter.dispatch('sorted_letters', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__sorted_letters(text) %}
    {{- return("array_to_string(list_sort(string_split(" ~ text ~ ", '')), '')") -}}
{% endmacro %}

{% macro athena__sorted_letters(text) %}
    {{- return("array_join(array_sort(regexp_extract_all(" ~ text ~ ", '.')), '')") -}}
{% endmacro %}


{# MD5 of a text as 32 lower-case hexadecimal digits. A surrogate, never a secret. #}
{% macro md5_hex(text) %}
    {{- return(adapter.dispatch('md5_hex', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__md5_hex(text) %}{{- return("md5(" ~ text ~ ")") -}}{% endmacro %}

{% macro athena__md5_hex(text) %}
    {{- return("lower(to_hex(md5(to_utf8(" ~ text ~ "))))") -}}
{% endmacro %}


{# One top-level member of a JSON object as text; NULL where it is missing or null. #}
{% macro json_member(json, member) %}
    {{- return(adapter.dispatch('json_member', 'cdp')(json, member)) -}}
{% endmacro %}

{% macro default__json_member(json, member) %}
    {{- return("json_extract_string(" ~ json ~ ", '$." ~ member ~ "')") -}}
{% endmacro %}

{% macro athena__json_member(json, member) %}
    {{- return("json_extract_scalar(" ~ json ~ ", '$." ~ member ~ "')") -}}
{% endmacro %}


{# Microseconds since 1970 of a UTC timestamp, for keys. The engines print timestamps differently. #}
{% macro epoch_micros(moment) %}
    {{- return(adapter.dispatch('epoch_micros', 'cdp')(moment)) -}}
{% endmacro %}

{% macro default__epoch_micros(moment) %}{{- return("epoch_us(" ~ moment ~ ")") -}}{% endmacro %}

{% macro athena__epoch_micros(moment) %}
    {{- return("cast(round(to_unixtime(" ~ moment ~ ") * 1e6) as bigint)") -}}
{% endmacro %}


{# A hash of a text as an integer, NULL for NULL. Engines hash differently: not to be kept. #}
{% macro text_hash(text) %}
    {{- return(adapter.dispatch('text_hash', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__text_hash(text) %}
    {{- return("case when " ~ text ~ " is not null then cast(hash(" ~ text ~ ") >> 1 as bigint) end") -}}
{% endmacro %}

{% macro athena__text_hash(text) %}
    {{- return("from_big_endian_64(xxhash64(to_utf8(" ~ text ~ ")))") -}}
{% endmacro %}


{# Outer spaces of any width dropped, as DuckDB does. Trino's own `trim` drops tabs, and keeps the
   no-break spaces that spreadsheets write. #}
{% macro trim_spaces(text) %}
    {{- return(adapter.dispatch('trim_spaces', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__trim_spaces(text) %}{{- return("trim(" ~ text ~ ")") -}}{% endmacro %}

{% macro athena__trim_spaces(text) %}
    {{- return(replace_pattern(text, '^\\p{Zs}+|\\p{Zs}+$')) -}}
{% endmacro %}
