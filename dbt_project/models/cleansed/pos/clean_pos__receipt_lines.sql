{{ config(unique_key='receipt_line_id') }}

with

source as {{ inlined() }} (
    {{ new_deliveries(source('sources', 'raw_pos__receipt_lines')) }}
),

deliveries as (
    {{ collapse_deliveries('source', key=['receipt_id', 'cast(line_number as bigint)']) }}
),

typed as (
    select
        receipt_id,
        try_cast(line_number as bigint) as line_number,
        cast(sold_at_utc as timestamp(6)) as sold_at,
        sku,
        product_name,
        category,
        try_cast(quantity as bigint) as quantity,
        try_cast(unit_price as decimal(18, 2)) as unit_price,
        try_cast(line_amount as decimal(18, 2)) as line_amount,
        {{ surrogate_key(['receipt_id', 'try_cast(line_number as bigint)']) }} as receipt_line_id,
        {{ delivery_columns() }}
    from deliveries
),

final as (
    {{ merge_with_present('typed', key=['receipt_id', 'line_number']) }}
)

select * from final
