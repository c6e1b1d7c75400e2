{# From deliveries to one row per key: which raw rows are new, and which delivery of a key wins.

   The winner has the greatest version, then the smallest (dt, _row_hash, _object_key, _line), so
   the order of arrival has no say. `_deliveries` adds up, `_last_load_id` is the newest load,
   `_has_conflict` tells that rows of the winner's version differ in content. All three merge
   associatively: first the new deliveries collapse among themselves, then with the rows that are
   there, and the result equals a full build.

   `_moved_from` tells identity which record lost the row, when a winner belongs to another record
   than the row that was there; '*' when that happened before identity could have looked.

   key: list of expressions that are never NULL.  version: expression, or none. #}

{# The raw rows that the model has not seen: on an ordinary run, those of later loads. #}
{% macro new_deliveries(relation) -%}
    select
        *,
        _load_id as _last_load_id,
        cast(1 as bigint) as _deliveries,
        false as _has_conflict
    from {{ relation }}
    {%- if is_incremental() %}
    {# A literal, not a subquery: it reaches the row-group statistics of the files. #}
    where _load_id > {{ run_query("select coalesce(max(_last_load_id), 0) from " ~ this)[0][0] }}
    {%- endif %}
{%- endmacro %}


{# One row per key from the rows of `new_deliveries`; read it through `delivery_columns`. #}
{% macro collapse_deliveries(rows, key, version=none) -%}
    {{ adapter.dispatch('collapse_deliveries', 'cdp')(rows, key, version) }}
{%- endmacro %}

{% macro athena__collapse_deliveries(rows, key, version) -%}
    {# Athena bills the bytes it reads: one pass. #}
    select * from ({{ place_deliveries(rows, key, version) }}) as placed
    where _place = 1
{%- endmacro %}

{% macro default__collapse_deliveries(rows, key, version) -%}
    {# Few keys come twice: sorting theirs alone costs half of sorting everything. #}
    with repeated as materialized (
        select
            {% for part in key %}{{ part }} as key_{{ loop.index }}{{ ", " if not loop.last }}{% endfor %}
        from {{ rows }}
        group by all
        having count(*) > 1
    )

    select
        *,
        1 as _place,
        _last_load_id as _newest_load_id,
        _deliveries as _all_deliveries,
        _has_conflict as _differs
    from {{ rows }}
    where not exists ({{ repeated_key(key) }})

    union all

    select * from (
        {{ place_deliveries("(select * from " ~ rows ~ " where exists (" ~ repeated_key(key) ~ "))",
            key, version) }}
    )
    where _place = 1
{%- endmacro %}

{% macro repeated_key(key) -%}
    select 1 from repeated where
    {%- for part in key %} key_{{ loop.index }} = {{ part }}{{ " and" if not loop.last }}{% endfor %}
{%- endmacro %}


{# Rows with their place among the deliveries of their key, and what all of those add up to. #}
{% macro place_deliveries(rows, key, version) -%}
    {%- set keys = key | join(", ") -%}
    {%- set same_version = keys ~ (", " ~ version if version else "") -%}
    select
        *,
        row_number() over (
            partition by {{ keys }}
            order by {{ version ~ " desc," if version }} dt, _row_hash, _object_key, _line
        ) as _place,
        max(_last_load_id) over (partition by {{ keys }}) as _newest_load_id,
        cast(sum(_deliveries) over (partition by {{ keys }}) as bigint) as _all_deliveries,
        bool_or(_has_conflict) over (partition by {{ same_version }})
        or min(_row_hash) over (partition by {{ same_version }})
        <> max(_row_hash) over (partition by {{ same_version }}) as _differs
        {%- if rows == "merged" and has_records() %},
        max(_present_record_id) over (partition by {{ keys }}) as _former_record_id,
        max(_moved_from) over (partition by {{ keys }}) as _former_moved_from
        {%- endif %}
    from {{ rows }} as deliveries
{%- endmacro %}


{# Lineage of a collapsed row, under its names in the cleansed table. #}
{% macro delivery_columns() -%}
    dt,
    _object_key,
    _line,
    _row_hash,
    _load_id,
    _newest_load_id as _last_load_id,
    _all_deliveries as _deliveries,
    _differs as _has_conflict
    {%- if has_records() %},
    cast(null as varchar) as _moved_from
    {%- endif %}
{%- endmacro %}

{# Whether the rows of this model belong to identity records. #}
{% macro has_records() %}{{- return("record_id" in model.columns) -}}{% endmacro %}


{# The rows to write: on an ordinary run, new rows collapsed with the present rows of their keys.
   rows: a CTE with the columns of the model. #}
{% macro merge_with_present(rows, key, version=none) -%}
    {%- if not is_incremental() -%}
    select * from {{ rows }}
    {%- else -%}
    {%- set columns = model.columns | join(", ") -%}
    with present as (
        select {{ columns }} from {{ this }} as present
        where exists (
            select 1 from {{ rows }} as incoming where
            {%- for column in key %} incoming.{{ column }} = present.{{ column }}
            {{- " and" if not loop.last }}{% endfor %}
        )
    ),

    merged as (
        select
            {{ columns }}
            {%- if has_records() %}, cast(null as varchar) as _present_record_id{% endif %}
        from {{ rows }}
        union all
        select {{ columns }}{{ ", record_id as _present_record_id" if has_records() }} from present
    ),

    placed as ({{ place_deliveries("merged", key, version) }})

    select
        {%- set collapsed = {
            "_last_load_id": "_newest_load_id",
            "_deliveries": "_all_deliveries",
            "_has_conflict": "_differs",
            "_moved_from": moved_from(),
        } %}
        {%- for column in model.columns %}
        {{ collapsed[column] ~ " as " if column in collapsed }}{{ column }}{{ "," if not loop.last }}
        {%- endfor %}
    from placed
    where _place = 1
    {%- endif -%}
{%- endmacro %}


{# The record that the row belonged to before this winner came. #}
{% macro moved_from() -%}
    case
        when _former_record_id is not distinct from record_id or _former_record_id is null
            then _former_moved_from
        when _former_moved_from is not null then '*'
        else _former_record_id
    end
{%- endmacro %}


{# Marks a CTE that is read twice and must not be kept in memory meanwhile.
   DuckDB keeps such a CTE unless told otherwise; Trino never does and knows no such word. #}
{% macro inlined() %}{{- return(adapter.dispatch('inlined', 'cdp')()) -}}{% endmacro %}

{% macro default__inlined() %}{{- return("not materialized") -}}{% endmacro %}

{% macro athena__inlined() %}{{- return("") -}}{% endmacro %}


{# Marks a CTE that is computed once although it is read often. Trino computes it each time. #}
{% macro materialized() %}{{- return(adapter.dispatch('materialized', 'cdp')()) -}}{% endmacro %}

{% macro default__materialized() %}{{- return("materialized") -}}{% endmacro %}

{% macro athena__materialized() %}{{- return("") -}}{% endmacro %}
