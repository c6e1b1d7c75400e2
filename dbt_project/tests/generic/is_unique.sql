{# No value occurs twice. One pass over one column, without dbt's own count of every value. #}
{% test is_unique(model, column_name) %}
select {{ column_name }}
from {{ model }}
group by {{ column_name }}
having count(*) > 1
{% endtest %}
