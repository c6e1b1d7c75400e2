"""Publishing the profile layer; its tables are SQL and live in dbt_project/models/profile."""
