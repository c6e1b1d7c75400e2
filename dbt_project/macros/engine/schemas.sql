{# A layer's models live in the database or schema of the layer's name.
   On Athena several tenants share one catalog, so the tenant comes first there. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ return(adapter.dispatch('layer_schema', 'cdp')(custom_schema_name or target.schema)) }}
{%- endmacro %}

{% macro default__layer_schema(layer) %}{{ return(layer | trim) }}{% endmacro %}

{% macro athena__layer_schema(layer) %}{{ return((target.schema ~ '_' ~ layer) | trim) }}{% endmacro %}
