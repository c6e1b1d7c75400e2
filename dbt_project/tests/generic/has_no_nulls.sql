{# The named columns are never NULL. DuckDB enforces that while it writes; Athena does not. #}
{% test has_no_nulls(model, columns) %}
select *
from {{ model }}
where {{ columns | join(" is null or ") }} is null
{% endtest %}
