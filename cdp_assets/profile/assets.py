"""The last asset of the graph: the version of the profiles that readers see.

Not here: the profile tables themselves (dbt_project/models/profile).
"""

from typing import Final

import dagster as dg

from cdp_assets.automation import DAILY_FRESHNESS, WHEN_UPSTREAM_CHANGES
from cdp_assets.discretion import discreet
from cdp_assets.naming import PROFILE, WAREHOUSE_POOL, asset_key
from cdp_assets.partitions import SINGLE_RUN
from cdp_assets.plots import bar_chart
from cdp_assets.profile.publish import completeness, publish, tables_to_publish
from cdp_assets.resources.leases import Leases
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.warehouse import Warehouse

_UPSTREAM: Final = (
    "customer_attributes",
    "customer_consents",
    "customer_events",
    "customer_identifiers",
    "customer_profiles",
    "customer_traits",
    "profile_history",
)


@dg.asset(
    key=asset_key(PROFILE, "published_profiles"),
    deps=[asset_key(PROFILE, name) for name in _UPSTREAM],
    group_name=PROFILE,
    owners=["team:profile"],
    kinds={"duckdb"},
    tags={"pii": "direct_identifier"},
    code_version="1",
    description=(
        "One whole version of every table, swapped in by rename: readers see the old version "
        "or this one, never a mixture."
    ),
    automation_condition=WHEN_UPSTREAM_CHANGES,
    freshness_policy=DAILY_FRESHNESS,
    backfill_policy=SINGLE_RUN,
    pool=WAREHOUSE_POOL,
)
@discreet
def published_profiles(
    warehouse: dg.ResourceParam[Warehouse],
    ledger: dg.ResourceParam[ObjectLedger],
    leases: dg.ResourceParam[Leases],
) -> dg.MaterializeResult:
    """Publish what the run built and acknowledge the changes it covered."""
    with leases.hold(tables_to_publish(warehouse)):
        published = publish(warehouse, ledger)
    shares = completeness(warehouse)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": published.customers,
            "published_load_id": published.load_id,
            "completeness": bar_chart(
                list(shares),
                [100 * share for share in shares.values()],
                title="Profiles that have a value",
                y_label="% of known profiles",
            ),
        }
    )
