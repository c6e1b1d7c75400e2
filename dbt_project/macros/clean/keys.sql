{# A surrogate key: MD5 of the parts of a natural key, in order. NULL parts count as empty. #}
{% macro surrogate_key(parts) -%}
    {%- set texts = [] -%}
    {%- for part in parts -%}
        {%- do texts.append("coalesce(cast(" ~ part ~ " as varchar), '')") -%}
    {%- endfor -%}
    {{ md5_hex(texts | join(" || '|' || ")) }}
{%- endmacro %}
