{# Moments in time. The default is DuckDB. #}

{# When this dbt run started, as a UTC timestamp. Only history may depend on it. #}
{% macro run_moment() -%}
    cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as timestamp(6))
{%- endmacro %}

{# The latest of several moments; NULL ones do not count. On Trino one NULL would make all NULL. #}
{% macro latest() %}
    {{- return(adapter.dispatch('latest', 'cdp')(varargs)) -}}
{% endmacro %}

{% macro default__latest(moments) %}{{- return("greatest(" ~ moments | join(", ") ~ ")") -}}{% endmacro %}

{% macro athena__latest(moments) %}
    {{- return("array_max(filter(array[" ~ moments | join(", ") ~ "], m -> m is not null))") -}}
{% endmacro %}
