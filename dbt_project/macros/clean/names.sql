{# Normalised forms of the names of people and places. Version 1: a change needs a full refresh. #}

{# A personal name folded for comparison: lower case, no accents, letters only, single spaces.

   `Zoë`, `ZOE` and `zoe` fold alike, `O'Brien` to `obrien`, `Anne-Marie` to `anne marie`. Letters
   without a decomposition are spelt out (ß ss, æ ae, ø o, ł l). NULL where no letter is left. #}
{% macro fold_name(name) -%}
    {%- set plain = strip_marks("lower(" ~ name ~ ")") -%}
    {# The apostrophes have no counterpart, so `translate` drops them. #}
    {%- set joined = "translate(" ~ plain ~ ", 'øłđðħı''`´ʹʼ‘’', 'olddhi')" -%}
    {%- set spelt = "replace(replace(replace(replace(" ~ joined
        ~ ", 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th')" -%}
    nullif(trim({{ replace_pattern(spelt, "[^\\p{L}]+", " ") }}), '')
{%- endmacro %}


{# The first word of a folded name: what the nickname list is keyed by. #}
{% macro first_word(folded) -%}
    nullif(split_part({{ folded }}, ' ', 1), '')
{%- endmacro %}


{# The spelling under which the country list is searched: lower case, no accents, no dots. #}
{% macro country_lookup_key(country) -%}
    {{ strip_marks("lower(trim(replace(" ~ country ~ ", '.', '')))") }}
{%- endmacro %}
