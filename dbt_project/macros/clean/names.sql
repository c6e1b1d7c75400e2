{# Normalised forms of the names of people and places. Version 1: a change needs a full refresh. #}

{# How much of a folded text is kept, and so compared. Nobody limits what senders write, and an edit
   distance costs the product of two lengths: Trino refuses it from about a thousand letters on. #}
{% macro compared_part(folded) %}{{- return("substr(" ~ folded ~ ", 1, 100)") -}}{% endmacro %}


{# A personal name folded for comparison: lower case, no accents, letters only, single spaces,
   `compared_part` of it.

   `Zoë`, `ZOE` and `zoe` fold alike, `O'Brien` to `obrien`, `Anne-Marie` to `anne marie`. Letters
   without a decomposition are spelt out (ß ss, æ ae, ø o, ł l). NULL where no letter is left. #}
{% macro fold_name(name) -%}
    {%- set plain = strip_marks("lower(" ~ name ~ ")") -%}
    {# The apostrophes have no counterpart, so `translate` drops them. #}
    {%- set joined = "translate(" ~ plain ~ ", 'øłđðħı''`´ʹʼ‘’', 'olddhi')" -%}
    {%- set spelt = "replace(replace(replace(replace(" ~ joined
        ~ ", 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th')" -%}
    nullif(trim({{ compared_part(replace_pattern(spelt, "[^\\p{L}]+", " ")) }}), '')
{%- endmacro %}


{# The first word of a folded name: what the nickname list is keyed by. #}
{% macro first_word(folded) -%}
    nullif(split_part({{ folded }}, ' ', 1), '')
{%- endmacro %}


{# How a folded name sounds, roughly: the consonants, those that are heard alike as one, doubled ones
   once. `susan` and `suzem` give `sn`, `victoria` and `victuree` give `fktr`. Coarse: names that
   sound alike may be two people's; the model knows how often. #}
{% macro name_sound(folded) -%}
    {%- set ns = namespace(sound=folded) -%}
    {%- for spelt, heard in [
        ('sch', 's'), ('ph', 'f'), ('ce', 'se'), ('ci', 'si'), ('tz', 's'), ('gh', 'k'),
    ] -%}
        {%- set ns.sound = "replace(" ~ ns.sound ~ ", '" ~ spelt ~ "', '" ~ heard ~ "')" -%}
    {%- endfor -%}
    {# The vowels and h have no counterpart, so `translate` drops them. #}
    {%- set ns.sound = "translate(" ~ ns.sound ~ ", 'bcdgmqvwxzaeiouyh ', 'pktknkffks')" -%}
    {%- for letter in 'stnklrpf' -%}
        {%- set ns.sound = "replace(" ~ ns.sound ~ ", '" ~ letter ~ letter ~ "', '" ~ letter ~ "')" -%}
    {%- endfor -%}
    nullif({{ ns.sound }}, '')
{%- endmacro %}


{# The spelling under which the country list is searched: lower case, no accents, no dots. #}
{% macro country_lookup_key(country) -%}
    {{ strip_marks("lower(" ~ trim_spaces("replace(" ~ country ~ ", '.', '')") ~ ")") }}
{%- endmacro %}


{# A line of an address, or any text, folded for comparison: lower case, no accents, letters and
   digits only, single spaces, `compared_part` of it. NULL where nothing is left. #}
{% macro fold_text(text) -%}
    {%- set spaced = replace_pattern(strip_marks("lower(" ~ text ~ ")"), "[^\\p{L}\\p{N}]+", " ") -%}
    nullif(trim({{ compared_part(spaced) }}), '')
{%- endmacro %}

{# `m`, `f`, or what was given, folded. #}
{% macro fold_gender(gender) -%}
    case lower({{ trim_spaces(gender) }})
        when 'male' then 'm'
        when 'man' then 'm'
        when 'female' then 'f'
        when 'woman' then 'f'
        else nullif(lower({{ trim_spaces(gender) }}), '')
    end
{%- endmacro %}

{# A number that a state gave, without spaces and punctuation, `compared_part` of it. #}
{% macro fold_number(number) -%}
    nullif({{ compared_part(replace_pattern("lower(" ~ number ~ ")", "[^\\p{L}\\p{N}]+")) }}, '')
{%- endmacro %}
