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

{# Two of year, month and day agree, or day and month are swapped: that is how people mistype a
   date, and not how a father's differs from his son's. #}
{% macro compatible_birth_dates(left, right) -%}
    coalesce(
        case when year({{ left }}) = year({{ right }}) then 1 else 0 end
        + case when month({{ left }}) = month({{ right }}) then 1 else 0 end
        + case when day({{ left }}) = day({{ right }}) then 1 else 0 end >= 2
        or (
            year({{ left }}) = year({{ right }})
            and month({{ left }}) = day({{ right }})
            and day({{ left }}) = month({{ right }})
        )
        or {{ left }} is null
        or {{ right }} is null,
        true
    )
{%- endmacro %}
