{# On Athena a model's former table leaves the catalogue, and its files stay: the published version
   may still point at them. `cdp sweep` removes files that no table knows. #}
{% macro athena__drop_relation(relation) -%}
    {%- if relation.type == 'view' -%}
        {%- do adapter.delete_from_glue_catalog(relation) -%}
    {%- elif adapter.get_glue_table_type(relation) is not none -%}
        {%- do adapter.delete_from_glue_catalog(relation) -%}
    {%- endif -%}
{%- endmacro %}
