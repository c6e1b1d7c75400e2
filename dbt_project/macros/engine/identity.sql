{# What identity asks of an engine and the engines spell differently. The default is DuckDB. #}

{# Number of single-letter edits between two texts. #}
{% macro edit_distance(left, right) %}
    {{- return(adapter.dispatch('edit_distance', 'cdp')(left, right)) -}}
{% endmacro %}

{% macro default__edit_distance(left, right) %}
    {{- return("levenshtein(" ~ left ~ ", " ~ right ~ ")") -}}
{% endmacro %}

{% macro athena__edit_distance(left, right) %}
    {{- return("levenshtein_distance(" ~ left ~ ", " ~ right ~ ")") -}}
{% endmacro %}


{# A flat JSON object as text from a mapping of member name to expression; NULL members stay. #}
{% macro json_text(members) %}
    {{- return(adapter.dispatch('json_text', 'cdp')(members)) -}}
{% endmacro %}

{% macro default__json_text(members) %}
    {%- set parts = [] -%}
    {%- for name, value in members.items() %}{% do parts.append("'" ~ name ~ "', " ~ value) %}{% endfor -%}
    {{- return("cast(json_object(" ~ parts | join(", ") ~ ") as varchar)") -}}
{% endmacro %}

{% macro athena__json_text(members) %}
    {%- set parts = [] -%}
    {%- for name, value in members.items() %}{% do parts.append("'" ~ name ~ "' value " ~ value) %}{% endfor -%}
    {{- return("json_object(" ~ parts | join(", ") ~ " null on null)") -}}
{% endmacro %}


{# A condition of the match model, which is written in Splink's (DuckDB's) words. #}
{% macro portable_comparison(condition) %}
    {{- return(adapter.dispatch('portable_comparison', 'cdp')(condition)) -}}
{% endmacro %}

{% macro default__portable_comparison(condition) %}{{- return(condition) -}}{% endmacro %}

{% macro athena__portable_comparison(condition) %}
    {{- return(modules.re.sub("\\blevenshtein\\s*\\(", "levenshtein_distance(", condition)) -}}
{% endmacro %}


{# A number of each row of a CTE, the same wherever the CTE is read. Trino computes a CTE each time:
   there it has to follow from `key`. #}
{% macro stable_number(key) %}{{- return(adapter.dispatch('stable_number', 'cdp')(key)) -}}{% endmacro %}

{% macro default__stable_number(key) %}{{- return("row_number() over ()") -}}{% endmacro %}

{% macro athena__stable_number(key) %}
    {{- return("row_number() over (order by " ~ key ~ ")") -}}
{% endmacro %}
