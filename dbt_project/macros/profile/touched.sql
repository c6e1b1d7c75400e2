{# What an ordinary run rewrites: the customers that identity marked as touched. #}

{# Pre-hook of every table keyed by customer: on an ordinary run the touched customers leave, also
   those that no longer exist. The model then appends theirs anew. #}
{% macro forget_touched_customers() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where customer_id in (
            select customer_id from {{ source('identity', 'touched_customers') }}
        )
    {%- endif -%}
{%- endmacro %}


{# record_id and customer_id of the records whose customers this run writes: all on a full build. #}
{% macro records_to_write() -%}
    select
        record_id,
        customer_id
    from {{ source('identity', 'customer_map') }}
    {%- if is_incremental() %}
    where customer_id in (
        select customer_id from {{ source('identity', 'touched_customers') }}
    )
    {%- endif %}
{%- endmacro %}
