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

{% macro forget_affected_pairs() -%}
    {%- if is_partial() -%}
        delete from {{ this }}
        where
            left_record_id in (select record_id from {{ ref('match_affected') }})
            or right_record_id in (select record_id from {{ ref('match_affected') }})
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
        if node.resource_type == 'seed' and node.config.schema == 'identity' -%}
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
