{# Whether two records can be one person, as far as first name and birth date tell.
   NULL is compatible with everything. Mirrored by cdp_assets/identity/persons.py. #}

{# Equal nickname keys, an initial of the other, a typing error (one edit from four letters on, two
   from eight on, or letters swapped), a short form that begins or ends the other, or the same sound.
   The cheapest comes first: most pairs of names are decided by it. #}
{% macro compatible_names(left, right) -%}
    case
        when {{ left }} is null or {{ right }} is null or {{ left }} = {{ right }} then true
        when least(length({{ left }}), length({{ right }})) = 1
            then substr({{ left }}, 1, 1) = substr({{ right }}, 1, 1)
        when {{ edit_distance(left, right) }} <= case
            when least(length({{ left }}), length({{ right }})) >= 8 then 2
            when least(length({{ left }}), length({{ right }})) >= 4 then 1
            else 0
        end then true
        when least(length({{ left }}), length({{ right }})) < 3 then false
        when {{ begins_or_ends(left, right) }} or {{ begins_or_ends(right, left) }} then true
        when
            length({{ left }}) = length({{ right }})
            and {{ sorted_letters(left) }} = {{ sorted_letters(right) }}
            then true
        when substr({{ left }}, 1, 1) <> substr({{ right }}, 1, 1) then false
        -- Two consonants are too few: John and Jane have the same.
        else coalesce(
            length({{ name_sound(left) }}) > 2 and {{ name_sound(left) }} = {{ name_sound(right) }},
            false
        )
    end
{%- endmacro %}

{% macro begins_or_ends(long, short) -%}
    (
        length({{ long }}) > length({{ short }})
        and {{ short }} in (
            substr({{ long }}, 1, length({{ short }})),
            substr({{ long }}, length({{ long }}) - length({{ short }}) + 1)
        )
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
