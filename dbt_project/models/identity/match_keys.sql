{{ config(materialized='view') }}

with match_records as (
    select * from {{ ref('match_records') }}
),

final as (
    {{ block_keys('match_records', ['record_id', 'is_current']) }}
)

select * from final
