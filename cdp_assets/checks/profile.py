"""Checks on what readers see: the published version is the one that was built, and whole.

Not here: facts about the rows of one table (dbt tests).
"""

import dagster as dg

from cdp_assets.naming import PROFILE, WAREHOUSE_POOL, asset_key
from cdp_assets.resources.warehouse import Warehouse

_TABLES = ("customer_profiles", "customer_attributes", "customer_events", "customer_consents")


@dg.asset_check(
    asset=asset_key(PROFILE, "published_profiles"),
    description="Readers see as many rows of every table as were built.",
    pool=WAREHOUSE_POOL,
)
def published_is_whole(warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
    """Compare the row counts of the published version with those of the warehouse."""
    counts = ", ".join(f"(select count(*) from {PROFILE}.{name}) as {name}" for name in _TABLES)
    [built] = warehouse.query(f"select {counts}").to_pylist()
    with warehouse.published() as reader:
        [published] = reader.query(f"select {counts}").to_pylist()
    return dg.AssetCheckResult(passed=built == published, metadata=published)
