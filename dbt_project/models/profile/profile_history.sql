-- A full refresh would forget the past, so this table takes none.
{{ config(full_refresh=false, unique_key=['customer_id', 'valid_from']) }}

with

profiles as (
    select
        customer_id,
        profile_hash,
        {{ versioned_profile_columns() | join(', ') }}
    from {{ ref('customer_profiles') }}
),

{% if is_incremental() -%}
open_versions as (
    select * from {{ this }}
    where is_current
),

-- Changed, or gone.
closed as (
    select
        open_versions.customer_id,
        open_versions.profile_hash,
        {{ closed_profile_columns('open_versions') }},
        open_versions.valid_from,
        {{ run_moment() }} as valid_to
    from open_versions
    left join profiles
        on
            open_versions.customer_id = profiles.customer_id
            and open_versions.profile_hash = profiles.profile_hash
    where profiles.customer_id is null
),

{% endif -%}
opened as (
    select
        profiles.*,
        {{ run_moment() }} as valid_from,
        cast(null as timestamp(6)) as valid_to
    from profiles
    {% if is_incremental() -%}
    left join open_versions
        on
            profiles.customer_id = open_versions.customer_id
            and profiles.profile_hash = open_versions.profile_hash
    where open_versions.customer_id is null
    {%- endif %}
),

versions as (
    select * from opened
    {% if is_incremental() -%}
    union all
    select * from closed
    {%- endif %}
),

final as (
    select
        *,
        valid_to is null as is_current
    from versions
)

select * from final
