"""An open customer data platform on Dagster: start at graph.py. Nothing is imported here."""
