{# From deliveries to one row per key: which raw rows are new, and which delivery of a key wins. #}

{# The raw rows that the model has not seen: on an ordinary run, those of later loads. #}
{% macro new_deliveries(relation) -%}
    select * from {{ relation }}
    {%- if is_incremental() %}
    {# A literal, not a subquery: it reaches the row-group statistics of the files. #}
    where _load_id > {{ run_query("select coalesce(max(_last_load_id), 0) from " ~ this)[0][0] }}
    {%- endif %}
{%- endmacro %}


{# Lineage of one raw row, in the form in which `deduplicate` merges rows. #}
{% macro delivery_columns() -%}
    dt,
    _object_key,
    _line,
    _row_hash,
    _load_id,
    _load_id as _last_load_id,
    cast(1 as bigint) as _deliveries,
    false as _has_conflict
{%- endmacro %}


{# One row per key from rows that each stand for one or more deliveries.

   The winner has the greatest version, then the smallest (dt, _row_hash, _object_key, _line), so
   the order of arrival has no say. `_deliveries` adds up, `_last_load_id` is the newest load,
   `_has_conflict` tells that rows of the winner's version differ in content.

   All three merge associatively: on an ordinary run the rows of `this` with the same keys are just
   more rows, and the result equals a full build.

   rows: CTE with the model's columns.  keys_from: CTE with at least `key`, cheaper to scan.
   key: columns, never NULL.  version: column or none. #}
{% macro deduplicate(rows, key, version=none, keys_from=none) -%}
    {%- if is_incremental() -%}
        {{ pick_winners(rows_and_their_past(rows, key, keys_from or rows), key, version) }}
    {%- else -%}
        {{ adapter.dispatch('deduplicate_all', 'cdp')(rows, key, version, keys_from or rows) }}
    {%- endif -%}
{%- endmacro %}

{% macro athena__deduplicate_all(rows, key, version, keys_from) -%}
    {# Athena bills bytes read: one pass. #}
    {{ pick_winners(rows, key, version) }}
{%- endmacro %}

{% macro default__deduplicate_all(rows, key, version, keys_from) -%}
    {# Few keys are delivered twice. Sorting only theirs costs half of sorting everything. #}
    with repeated as materialized (
        select {{ key | join(", ") }}
        from {{ keys_from }}
        group by {{ key | join(", ") }}
        having count(*) > 1
    )

    select {{ model_columns() }}
    from {{ rows }}
    where not exists ({{ same_key('repeated', rows, key) }})

    union all

    {{ pick_winners("(select * from " ~ rows
        ~ " where exists (" ~ same_key('repeated', rows, key) ~ "))", key, version) }}
{%- endmacro %}

{% macro rows_and_their_past(rows, key, keys_from) -%}
    (
        select {{ model_columns() }} from {{ rows }}
        union all
        select {{ model_columns() }} from {{ this }} as past
        where exists ({{ same_key(keys_from, 'past', key) }})
    )
{%- endmacro %}

{% macro same_key(left, right, key) -%}
    select 1 from {{ left }} where
    {%- for column in key %} {{ left }}.{{ column }} = {{ right }}.{{ column }}
    {%- if not loop.last %} and{% endif %}{% endfor %}
{%- endmacro %}

{% macro pick_winners(rows, key, version) -%}
    {%- set merged = ["_last_load_id", "_deliveries", "_has_conflict"] -%}
    {%- set keys = key | join(", ") -%}
    select
        {%- for column in model.columns if column not in merged %}
        {{ column }},
        {%- endfor %}
        _newest_load_id as _last_load_id,
        cast(_all_deliveries as bigint) as _deliveries,
        _differs as _has_conflict
    from (
        select
            *,
            row_number() over (
                partition by {{ keys }}
                order by {% if version %}{{ version }} desc, {% endif %}dt, _row_hash, _object_key, _line
            ) as _place,
            max(_last_load_id) over (partition by {{ keys }}) as _newest_load_id,
            sum(_deliveries) over (partition by {{ keys }}) as _all_deliveries,
            bool_or(_has_conflict) over (
                partition by {{ keys }}{% if version %}, {{ version }}{% endif %}
            )
            or min(_row_hash) over (
                partition by {{ keys }}{% if version %}, {{ version }}{% endif %}
            ) <> max(_row_hash) over (
                partition by {{ keys }}{% if version %}, {{ version }}{% endif %}
            ) as _differs
        from {{ rows }} as deliveries
    ) as placed
    where _place = 1
{%- endmacro %}

{# The model's columns in the order of its contract. #}
{% macro model_columns() %}{{ return(model.columns | join(", ")) }}{% endmacro %}


{# Marks a CTE that is read twice and must not be kept in memory meanwhile.
   DuckDB keeps such a CTE unless told otherwise; Trino never does and knows no such word. #}
{% macro inlined() %}{{- return(adapter.dispatch('inlined', 'cdp')()) -}}{% endmacro %}

{% macro default__inlined() %}{{- return("not materialized") -}}{% endmacro %}

{% macro athena__inlined() %}{{- return("") -}}{% endmacro %}
