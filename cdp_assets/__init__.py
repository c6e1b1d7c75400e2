"""An open customer data platform on Dagster: start at definitions.py. Nothing is imported here."""
