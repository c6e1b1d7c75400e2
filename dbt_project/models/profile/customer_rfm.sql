{{ config(materialized='view') }}

with

traits as (
    select * from {{ ref('customer_traits') }}
),

-- The newest act in the data, not the clock: the same data gives the same scores tomorrow.
newest as (
    select cast(max(last_seen_at) as date) as as_of_date
    from traits
),

measured as (
    select
        traits.customer_id,
        newest.as_of_date,
        date_diff('day', cast(traits.last_purchase_at as date), newest.as_of_date) as recency_days,
        traits.order_count as frequency,
        traits.lifetime_value as monetary,
        traits.currency
    from traits
    cross join newest
    where traits.order_count > 0
),

-- Fixed limits, not quantiles: one customer's score never moves because another one bought.
scored as (
    select
        *,
        case
            when recency_days <= 30 then 5
            when recency_days <= 90 then 4
            when recency_days <= 180 then 3
            when recency_days <= 365 then 2
            else 1
        end as recency_score,
        case
            when frequency >= 20 then 5
            when frequency >= 10 then 4
            when frequency >= 5 then 3
            when frequency >= 2 then 2
            else 1
        end as frequency_score,
        case
            when monetary >= 2000 then 5
            when monetary >= 1000 then 4
            when monetary >= 500 then 3
            when monetary >= 100 then 2
            else 1
        end as monetary_score
    from measured
),

final as (
    select
        customer_id,
        as_of_date,
        recency_days,
        frequency,
        monetary,
        currency,
        recency_score,
        frequency_score,
        monetary_score,
        cast(recency_score as varchar)
        || cast(frequency_score as varchar)
        || cast(monetary_score as varchar) as rfm_score
    from scored
)

select * from final
