{# dbt's own answer asks the warehouse whether the table exists. Offline (`compile
   --no-introspect`) there is no warehouse to ask: what is compiled is the full build. #}
{% macro is_incremental() %}
    {{- return(flags.INTROSPECT is not false and dbt.is_incremental()) -}}
{% endmacro %}
