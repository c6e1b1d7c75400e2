{# From the match model (JSON, see cdp_assets/identity/match_model.py) to SQL that both engines run:
   the keys under which records meet, and how alike two of them are.

   A score equals what Splink's `predict` gives with the same model, pair by pair. #}

{# The chosen model. Parsing needs none: which models there are does not depend on it. #}
{% macro match_model() -%}
    {%- set text = env_var('CDP_MATCH_MODEL', '') -%}
    {%- if text %}{{ return(fromjson(text)) }}{% endif -%}
    {%- if execute -%}
        {{ exceptions.raise_compiler_error(
            "CDP_MATCH_MODEL is not set: it holds the identity model as JSON."
            ~ " Run dbt through `cdp` or Dagster, which set it.") }}
    {%- endif -%}
    {{ return({
        'version': '', 'probability_two_random_records_match': 0.5, 'comparisons': [],
        'blocking': [], 'vetoes': [], 'doubts': [], 'tf_columns': [],
    }) }}
{%- endmacro %}


{# What a match record says of a person, in the order of its columns. #}
{% macro match_columns() -%}
    {{ return([
        'first_name', 'first_name_key', 'last_name', 'birth_date', 'birth_days', 'gender', 'email',
        'phone', 'other_phone', 'street', 'city', 'state', 'postcode', 'national_id', 'loyalty_id',
        'first_name_sound', 'first_name_letters', 'last_name_sound', 'full_name',
    ]) }}
{%- endmacro %}

{# Those that hold an identifier, with its type. #}
{% macro identifying_match_columns() -%}
    {{ return([
        ('email', 'email'), ('phone', 'phone'), ('other_phone', 'phone'), ('loyalty_id', 'loyalty_id'),
    ]) }}
{%- endmacro %}

{# Those that follow from the others. #}
{% macro derived_match_columns() -%}
    {{ return([
        'birth_days', 'first_name_sound', 'first_name_letters', 'last_name_sound', 'full_name',
    ]) }}
{%- endmacro %}

{# Columns whose frequent values may weigh less than rare ones. #}
{% macro frequency_columns() -%}
    {{ return([
        'first_name', 'first_name_key', 'last_name', 'birth_date', 'email', 'phone', 'street', 'city',
        'postcode', 'full_name',
    ]) }}
{%- endmacro %}

{# Those of them for which the model knows how frequent a value is. #}
{% macro used_frequency_columns() -%}
    {%- set used = match_model().tf_columns -%}
    {%- for column in used if column not in frequency_columns() -%}
        {{ exceptions.raise_compiler_error("The identity model weighs the frequency of " ~ column
            ~ ", which match_records does not look up.") }}
    {%- endfor -%}
    {{ return(used) }}
{%- endmacro %}


{# The blocks of each record, one row per rule of the model: `columns`, block_rule, block_key. #}
{% macro block_keys(relation, columns, condition='true') -%}
    {%- for rule in match_model().blocking %}
    select
        {{ columns | join(', ') }},
        '{{ rule.name }}' as block_rule,
        {{ rule.key }} as block_key
    from {{ relation }}
    where {{ rule.key }} is not null and {{ condition }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}


{# The blocks of each record, one row per record: for the rule n its key as a number, `key_n`. Numbers
   compare faster than texts. #}
{% macro numbered_keys(relation, columns, condition) -%}
    select
        {{ columns | join(', ') }}
        {%- for rule in match_model().blocking %},
        {{ text_hash(rule.key) }} as key_{{ loop.index }}
        {%- endfor %}
    from {{ relation }}
    where {{ condition }}
{%- endmacro %}

{# Records of `keyed` with a block of `others`, one row per block. Both are of `numbered_keys`. #}
{% macro keys_in_common(keyed, others) -%}
    {%- for rule in match_model().blocking %}
    select
        record_id,
        '{{ rule.name }}' as block_rule,
        key_{{ loop.index }} as block_number,
        is_current
    from {{ keyed }}
    where key_{{ loop.index }} in (
        select key_{{ loop.index }} from {{ others }} where key_{{ loop.index }} is not null
    )
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}

{# The blocks over their cap, with a record of each to tell what its number stands for. #}
{% macro oversized_counts(keyed) -%}
    {%- for rule in match_model().blocking %}
    select
        '{{ rule.name }}' as block_rule,
        key_{{ loop.index }} as block_number,
        min(record_id) as member_id,
        count(*) as record_count
    from {{ keyed }}
    {#- Numbers first: few blocks are large, and only theirs is the rest. #}
    where key_{{ loop.index }} in (
        select key_{{ loop.index }}
        from {{ keyed }}
        where key_{{ loop.index }} is not null
        group by key_{{ loop.index }}
        having count(*) > (select {{ rule_cap(rule) }} from settings)
    )
    group by key_{{ loop.index }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}

{# Pairs of records (by number) that share a block, as often as they do. #}
{% macro pairs_in_blocks(keyed, oversized_blocks) -%}
    {%- for rule in match_model().blocking %}
    {%- set block %}(
        select
            number,
            key_{{ loop.index }} as block_number
        from {{ keyed }}
        where
            key_{{ loop.index }} is not null
            and not exists (
                select 1 from {{ oversized_blocks }} as oversized
                where
                    oversized.block_rule = '{{ rule.name }}'
                    and oversized.block_number = {{ keyed }}.key_{{ loop.index }}
            )
    ){% endset %}
    select
        l.number as left_number,
        r.number as right_number
    from {{ block }} as l
    inner join {{ block }} as r
        on l.block_number = r.block_number and l.number < r.number
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}


{# How many records a block of a rule may have before it makes no pair; the rule may only be stricter
   than `settings`, which is to be joined. #}
{% macro rule_cap(rule) -%}
    {{ 'least(max_block_records, ' ~ rule.max_records ~ ')' if rule.max_records else 'max_block_records' }}
{%- endmacro %}

{# The same for a row with a block_rule. #}
{% macro block_cap(relation) -%}
    case
        {%- for rule in match_model().blocking %}
        when {{ relation }}.block_rule = '{{ rule.name }}' then {{ rule_cap(rule) }}
        {%- endfor %}
        else max_block_records
    end
{%- endmacro %}


{# The columns that a score is made of, each for the left and for the right record. #}
{% macro compared_columns() -%}
    {%- set conditions = match_model().comparisons | map(attribute='levels') | sum(start=[])
        | map(attribute='condition') | join(' ') -%}
    {%- set compared = [] -%}
    {%- for column in match_columns() if modules.re.search('\\b' ~ column ~ '_[lr]\\b', conditions) -%}
        {%- do compared.append(column) -%}
    {%- endfor -%}
    {%- for column in used_frequency_columns() %}{% do compared.append('tf_' ~ column) %}{% endfor -%}
    {{ return(compared) }}
{%- endmacro %}

{% macro compared_pair(left, right) -%}
    {{ left }}.record_id as left_record_id,
    {{ right }}.record_id as right_record_id,
    {{ latest(left ~ '.first_seen_at', right ~ '.first_seen_at') }} as first_seen_at,
    {%- for column in compared_columns() %}
    {{ left }}.{{ column }} as {{ column }}_l,
    {{ right }}.{{ column }} as {{ column }}_r{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# What many conditions ask, the shorter first: each is worked out once per pair. Found as the long
   parentheses that stand in the model more than once: in two levels that are asked first and so of
   every pair, or in three of any kind. They are taken for false where they are
   NULL, so only those that no NOT can turn into something else. #}
{% macro shared_conditions() -%}
    {%- set counts = {} -%}
    {%- set asked_first = {} -%}
    {%- for comparison in match_model().comparisons -%}
        {%- for level in comparison.levels if not modules.re.search('\\bnot *\\(', level.condition) -%}
            {%- set open = [] -%}
            {%- for bracket in modules.re.finditer('[()]', level.condition) -%}
                {%- if bracket.group() == '(' -%}
                    {%- do open.append(bracket.start()) -%}
                {%- else -%}
                    {%- set start = open.pop() -%}
                    {%- set group = level.condition[start:bracket.end()] -%}
                    {%- set after = level.condition[bracket.end():] -%}
                    {#- Not the arguments of a function, and nothing that is compared. -#}
                    {%- if group | length > 60 and not level.condition[:start][-1:].isalpha()
                        and modules.re.match(' (and|or) |[),]|$', after) -%}
                        {%- do counts.update({group: counts.get(group, 0) + 1}) -%}
                        {%- if level.is_null -%}
                            {%- do asked_first.update({group: asked_first.get(group, 0) + 1}) -%}
                        {%- endif -%}
                    {%- endif -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set shared = [] -%}
    {%- for group in counts if counts[group] > 2 or asked_first.get(group, 0) > 1 -%}
        {#- What stands within one larger group alone is worked out there, where that needs it. -#}
        {%- set ns = namespace(is_part=false) -%}
        {%- for other in counts if other != group and group in other and counts[other] == counts[group] -%}
            {%- set ns.is_part = true -%}
        {%- endfor -%}
        {%- if not ns.is_part -%}
            {%- do shared.append(('%06d' | format(group | length), group)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(shared | sort | map(attribute=1) | list) }}
{%- endmacro %}

{# A condition that reads columns is_shared_n for what `shared` says. #}
{% macro with_shared(condition, shared) -%}
    {%- set ns = namespace(text=condition) -%}
    {%- for group in shared | reverse -%}
        {%- set ns.text = ns.text | replace(group, 'is_shared_' ~ loop.revindex) -%}
    {%- endfor -%}
    {{ return(ns.text) }}
{%- endmacro %}

{# The level at which two records agree, per comparison: -1 where a value is missing, else from 0 (they
   differ) up. #}
{% macro comparison_levels(shared) -%}
    {%- for comparison in match_model().comparisons %}
    case
        {%- set ns = namespace(level=comparison.levels | rejectattr('is_null', 'true') | list | length) %}
        {%- for level in comparison.levels if level.condition != 'else' %}
        {%- if not level.is_null %}{% set ns.level = ns.level - 1 %}{% endif %}
        when {{ portable_comparison(with_shared(level.condition, shared)) }} then {{ -1 if level.is_null else ns.level }}
        {%- endfor %}
        else 0
    end as gamma_{{ comparison.name }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{# Bits of evidence per comparison, from its level and how frequent the value is. #}
{% macro comparison_weights() -%}
    {%- for comparison in match_model().comparisons %}
    {%- set ns = namespace(level=comparison.levels | rejectattr('is_null', 'true') | list | length) %}
    case gamma_{{ comparison.name }}
        {%- for level in comparison.levels if not level.is_null %}
        {%- set ns.level = ns.level - 1 %}
        when {{ ns.level }} then log2({{ real(level.m) }} / {{ real(level.u) }})
            {%- if level.tf_column %}
            + {{ real(level.tf_weight) }} * (
                log2({{ real(level.u) }}) - log2(greatest(
                    tf_{{ level.tf_column }}_l, tf_{{ level.tf_column }}_r, {{ real(level.tf_minimum) }}
                ))
            )
            {%- endif %}
        {%- endfor %}
        else 0e0
    end as weight_{{ comparison.name }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{# All evidence together, in bits: over 0 it is more likely than not that the two are one person. #}
{% macro match_weight() -%}
    {%- set prior = match_model().probability_two_random_records_match -%}
    log2({{ real(prior) }} / {{ real(1 - prior) }})
    {%- for comparison in match_model().comparisons %}
    + weight_{{ comparison.name }}
    {%- endfor %}
{%- endmacro %}

{% macro match_probability(weight) %}{{- return("1e0 / (1e0 + power(2e0, -" ~ weight ~ "))") -}}{% endmacro %}

{# Why two records cannot be one person, whatever speaks for it; NULL where nothing forbids it. #}
{% macro match_veto() -%}
    {%- if match_model().vetoes -%}
    case
        {%- for veto in match_model().vetoes %}
        when {{ veto.condition }} then '{{ veto.reason }}'
        {%- endfor %}
    end
    {%- else -%}
    cast(null as varchar)
    {%- endif -%}
{%- endmacro %}


{# Whether a pair is left to people however much speaks for it. #}
{% macro match_doubt() -%}
    {%- if match_model().doubts -%}
    ({% for doubt in match_model().doubts %}{{ 'or ' if not loop.first }}({{ doubt.condition }}) {% endfor %})
    {%- else -%}
    false
    {%- endif -%}
{%- endmacro %}


{# CTEs from `pairs` (left_record_id, right_record_id) to `scored`: the same, with first_seen_at,
   gamma_* and weight_* per comparison, match_weight and veto.

   is_few: the pairs are of few records. Match records are wide: these are then read once, not once
   for each side of a pair. #}
{% macro scored_pairs_ctes(is_few=false) -%}
    {%- set records = ref('match_records') -%}
    {%- if is_few -%}
    {%- set records = 'members' -%}
    members as {{ materialized() }} (
        select
            record_id,
            first_seen_at,
            {%- for column in compared_columns() %}
            {{ column }},
            {%- endfor %}
            is_current
        from {{ ref('match_records') }}
        where record_id in (
            select left_record_id from pairs
            union all
            select right_record_id from pairs
        )
    ),

    {% endif -%}
    compared as (
        select
            {{ compared_pair('l', 'r') }}
        from pairs
        inner join {{ records }} as l
            on pairs.left_record_id = l.record_id
        inner join {{ records }} as r
            on pairs.right_record_id = r.record_id
        where l.is_current and r.is_current
    ),

    {{ scoring_ctes() }}
{%- endmacro %}

{# CTEs from `compared` (the columns of `compared_pair`) to `scored`. #}
{% macro scoring_ctes() -%}
    {%- set shared = shared_conditions() -%}
    {%- for condition in shared %}
    shared_{{ loop.index }} as (
        select
            *,
            {#- CASE asks what is dear only of pairs that the rest leaves open. #}
            case
                when {{ portable_comparison(with_shared(condition, shared[:loop.index0])) }} then true
                else false
            end as is_shared_{{ loop.index }}
        from {{ 'compared' if loop.first else 'shared_' ~ loop.index0 }}
    ),
    {% endfor %}
    levelled as (
        select
            *,
            {{ comparison_levels(shared) }}
        from {{ 'shared_' ~ shared | length if shared else 'compared' }}
    ),

    weighed as (
        select
            *,
            {{ comparison_weights() }}
        from levelled
    ),

    scored as (
        select
            left_record_id,
            right_record_id,
            first_seen_at,
            {%- for comparison in match_model().comparisons %}
            gamma_{{ comparison.name }},
            weight_{{ comparison.name }},
            {%- endfor %}
            {{ match_weight() }} as match_weight,
            {{ match_veto() }} as veto,
            {{ match_doubt() }} as is_doubtful
        from weighed
    )
{%- endmacro %}


{# A number as a literal that both engines read as a double: 0.1 alone is a decimal. #}
{% macro real(number) %}{{- return('%.17e' | format(number)) -}}{% endmacro %}
