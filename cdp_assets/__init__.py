"""An open customer data platform on Dagster. Start at `definitions.py`; nothing is imported here."""
