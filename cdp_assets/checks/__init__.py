"""Truths across systems that SQL alone cannot state, as Dagster asset checks."""
