{# Which records an identity model computes: all of them, or those that changed.

   A changed record is always computed again from all its cleansed rows, never patched, so a
   partial run gives what a full one gives, whatever the order of arrival. #}

{# True when the model adds to what is there; false on a full build and on a rebuild. #}
{% macro is_partial() -%}
    {%- if not is_incremental() %}{{ return(false) }}{% endif -%}
    {%- set rebuild = run_query(
        "select count(*) from " ~ ref('source_changes') ~ " where is_rebuild") -%}
    {{ return(rebuild[0][0] == 0) }}
{%- endmacro %}

{# A further condition of a WHERE clause: only rows of changed records. #}
{% macro and_changed_record() -%}
    {%- if is_partial() %}and record_id in (select record_id from {{ ref('changed_records') }}){% endif -%}
{%- endmacro %}

{# The same for touched identifier values; `relation` is the alias whose rows are meant. #}
{% macro and_touched_identifier(relation) -%}
    {%- if is_partial() -%}
    and exists (
        select 1
        from {{ ref('touched_identifiers') }} as touched
        where
            touched.identifier_type = {{ relation }}.identifier_type
            and touched.identifier_value = {{ relation }}.identifier_value
    )
    {%- endif -%}
{%- endmacro %}

{# Pre-hooks: the rows that this run computes again make room, in the model's own transaction. #}
{% macro forget_everything() -%}
    {%- if is_incremental() %}delete from {{ this }}{% endif -%}
{%- endmacro %}

{% macro forget_changed_records() -%}
    {%- if is_incremental() %}delete from {{ this }} where true {{ and_changed_record() }}{% endif -%}
{%- endmacro %}

{% macro forget_touched_identifiers() -%}
    {%- if is_incremental() %}delete from {{ this }} where true
    {{ and_touched_identifier(this.identifier) }}{% endif -%}
{%- endmacro %}

{# For models that replace rows by key: only a rebuild forgets. #}
{% macro forget_everything_on_rebuild() -%}
    {%- if not is_partial() %}{{ forget_everything() }}{% endif -%}
{%- endmacro %}

{# Pairs of a changed record, and pairs of two records that a block may have brought together or
   parted. #}
{% macro forget_affected_pairs() -%}
    {%- if is_partial() -%}
        {%- set affected = 'select record_id from ' ~ ref('match_affected') -%}
        delete from {{ this }}
        where
            left_record_id in ({{ affected }} where has_changed)
            or right_record_id in ({{ affected }} where has_changed)
            or (left_record_id in ({{ affected }}) and right_record_id in ({{ affected }}))
    {%- else -%}
        {{ forget_everything() }}
    {%- endif -%}
{%- endmacro %}

{# Rows of changed records stay as "no longer current" until the customer map has followed: a value
   that a record has lost must still be found, and who shared it looked at again. #}
{% macro retire_changed_records() -%}
    {%- if is_partial() -%}
        update {{ this }} set is_current = false where is_current {{ and_changed_record() }}
    {%- else -%}
        {{ forget_everything() }}
    {%- endif -%}
{%- endmacro %}

{# Records whose match record a partial run makes anew: those that changed, and those with a value that began to
   stand for nobody, or ceased to, because of others.

   A suppressed value that a match record shows was suppressed since then. One that may have been
   suppressed and is not any more has lost a holder since then, and had more than its cap. Both
   still hold when a run fails half way and the next begins: nothing retired is gone before the customer
   map has followed. #}
{% macro records_told_anew() -%}
    select record_id from {{ ref('changed_records') }}
    {%- for column, identifier_type in identifying_match_columns() %}
    union
    select known.record_id
    from {{ this }} as known
    inner join {{ ref('suppressed_identifiers') }} as suppressed
        on known.{{ column }} = suppressed.identifier_value
    where suppressed.identifier_type = '{{ identifier_type }}'
    {%- endfor %}
    union
    select holders.record_id
    from {{ ref('identifiers') }} as holders
    inner join (
        select
            identifiers.identifier_type,
            identifiers.identifier_value
        from {{ ref('identifiers') }} as identifiers
        inner join {{ ref('identity_rules') }} as rules
            on identifiers.identifier_type = rules.identifier_type
        where
            identifiers.identifier_type in ('email', 'phone', 'loyalty_id')
            and exists (
                select 1 from {{ ref('identifiers') }} as retired
                where
                    not retired.is_current
                    and retired.identifier_type = identifiers.identifier_type
                    and retired.identifier_value = identifiers.identifier_value
            )
        group by
            identifiers.identifier_type,
            identifiers.identifier_value,
            rules.max_records,
            rules.max_people
        having count(distinct identifiers.record_id)
            > least(rules.max_records, coalesce(rules.max_people, rules.max_records))
    ) as crowded
        on
            holders.identifier_type = crowded.identifier_type
            and holders.identifier_value = crowded.identifier_value
    where holders.is_current and not exists (
        select 1 from {{ ref('suppressed_identifiers') }} as suppressed
        where
            suppressed.identifier_type = crowded.identifier_type
            and suppressed.identifier_value = crowded.identifier_value
    )
{%- endmacro %}

{% macro retire_told_anew() -%}
    {%- if is_partial() -%}
        update {{ this }} set is_current = false
        where is_current and record_id in (select record_id from ({{ records_told_anew() }}) as told)
    {%- else -%}
        {{ forget_everything() }}
    {%- endif -%}
{%- endmacro %}

{# The newest load of an entity that the customer map covers already, as a literal, so that it
   reaches the row-group statistics of the tables. #}
{% macro applied_load(entity) -%}
    {{ run_query("select coalesce(max(since_load_id), 0) from " ~ ref('source_changes')
        ~ " where entity = '" ~ entity ~ "'")[0][0] }}
{%- endmacro %}


{# What the rules of identity are made of, as one text: another one makes the next run a rebuild. #}
{% macro rules_fingerprint() -%}
    {%- if not execute %}{{ return('') }}{% endif -%}
    {%- set parts = [identity_rule_version(), env_var('CDP_MATCH_MODEL', '')] -%}
    {%- for node in graph.nodes.values() | sort(attribute='unique_id')
        if node.resource_type == 'seed'
        and (node.config.schema == 'identity' or node.name == 'blocked_identifiers') -%}
        {%- do parts.append(node.name ~ ' ' ~ node.checksum.checksum) -%}
    {%- endfor -%}
    {{ return(local_md5(parts | join('|'))) }}
{%- endmacro %}

{# Post-hook of `source_changes`. Once a rebuild has begun, only one that ends makes it good: also
   when the rules go back to what they were meanwhile. #}
{% macro forget_applied_rules() -%}
    delete from {{ ref('applied_rules') }}
    where exists (select 1 from {{ this }} where is_rebuild)
{%- endmacro %}
