{# A date or a timestamp lies in [earliest, latest). NULL passes. #}
{% test is_between(model, column_name, earliest, latest) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} < date '{{ earliest }}' or {{ column_name }} >= date '{{ latest }}'
{% endtest %}
