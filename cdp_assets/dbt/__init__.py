"""Wiring of the dbt project into Dagster; the SQL itself lives in dbt_project/."""
