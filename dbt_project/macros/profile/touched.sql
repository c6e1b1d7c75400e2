{# What an ordinary run rewrites: the customers that identity marked as touched. #}

{# A WHERE clause on customer_id: on an ordinary run the touched customers, else all of them. #}
{% macro of_customers_to_write() -%}
    {#- Named outside the condition, so that dbt knows the dependency when it parses. -#}
    {%- set touched_customers = source('identity', 'touched_customers') -%}
    {%- if is_incremental() -%}
        where customer_id in (select customer_id from {{ touched_customers }})
    {%- endif -%}
{%- endmacro %}


{# Pre-hook of the tables keyed by customer: the touched customers leave, also those that no longer
   exist. The model then appends theirs anew, in the same transaction on DuckDB. #}
{% macro forget_touched_customers() -%}
    {%- if is_incremental() -%}
        delete from {{ this }} {{ of_customers_to_write() }}
    {%- endif -%}
{%- endmacro %}
