{# Whether two records can be one person, as far as first name and birth date tell.
   NULL is compatible with everything. Mirrored by cdp_assets/identity/persons.py. #}

{# Equal nickname keys, an initial of the other, or a typing error: one edit from four letters on,
   two from eight on. #}
{% macro compatible_names(left, right) -%}
    coalesce(
        {{ left }} = {{ right }}
        or (length({{ left }}) = 1 and substr({{ right }}, 1, 1) = {{ left }})
        or (length({{ right }}) = 1 and substr({{ left }}, 1, 1) = {{ right }})
        or {{ edit_distance(left, right) }} <= case
            when least(length({{ left }}), length({{ right }})) >= 8 then 2
            when least(length({{ left }}), length({{ right }})) >= 4 then 1
            else 0
        end,
        true
    )
{%- endmacro %}

{# Equal, one digit apart, two neighbouring digits swapped, or day and month swapped. #}
{% macro compatible_birth_dates(left, right) -%}
    {%- set a = "replace(cast(" ~ left ~ " as varchar), '-', '')" -%}
    {%- set b = "replace(cast(" ~ right ~ " as varchar), '-', '')" -%}
    coalesce(
        {{ left }} = {{ right }}
        or {{ edit_distance(a, b) }} <= 1
        {%- for place in range(1, 8) %}
        or substr({{ a }}, 1, {{ place - 1 }}) || substr({{ a }}, {{ place + 1 }}, 1)
        || substr({{ a }}, {{ place }}, 1) || substr({{ a }}, {{ place + 2 }}) = {{ b }}
        {%- endfor %}
        or substr({{ a }}, 1, 4) || substr({{ a }}, 7, 2) || substr({{ a }}, 5, 2) = {{ b }},
        true
    )
{%- endmacro %}
