-- depends_on: {{ ref('source_changes') }}
with contacts as (
    select * from {{ ref('clean_contact_center__contacts') }}
),

final as (
    select
        contact_id,
        record_id
    from contacts
    where
        record_id is not null
        {% if is_incremental() %}
        and _load_id > {{ applied_load('contact_center__contacts') }}
        and not exists (
            select 1
            from {{ this }} as known
            where known.contact_id = contacts.contact_id and known.record_id = contacts.record_id
        )
        {% endif %}
)

select * from final
