{{ config(materialized='view') }}

with compared as (
    select
        {{ compared_pair('l', 'r') }}
    from {{ ref('match_records') }} as l
    inner join {{ ref('match_records') }} as r on l.record_id < r.record_id
    where l.is_current and r.is_current
),

{{ scoring_ctes() }}

select * from scored
