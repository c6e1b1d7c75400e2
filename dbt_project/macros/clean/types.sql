{# Values of text. The extracts let through only what the contracts allow; see sources/rules.py. #}

{# true, 1, yes and false, 0, no in any case. Trino's own cast knows no yes and no. #}
{% macro to_boolean(text) -%}
    case
        when lower({{ text }}) in ('true', '1', 'yes') then true
        when lower({{ text }}) in ('false', '0', 'no') then false
    end
{%- endmacro %}
