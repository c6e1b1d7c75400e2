"""Checks on what can be looked up: the store holds whom it should, and finds them.

Not here: the sync itself (`activation/sync.py`).
"""

from typing import Final

import dagster as dg

from cdp_assets.activation.sync import expected_count, some_customers
from cdp_assets.naming import ACTIVATION, WAREHOUSE_POOL, asset_key
from cdp_assets.resources.profile_store import ProfileStore
from cdp_assets.resources.warehouse import Warehouse

# Reads of single items: enough to see that the index does not claim what is not there.
_LOOKED_UP: Final = 20


@dg.asset_check(
    asset=asset_key(ACTIVATION, "profile_store"),
    description="The store holds every published customer that is not deleted, and no other.",
    pool=WAREHOUSE_POOL,
)
def profile_store_is_complete(
    warehouse: dg.ResourceParam[Warehouse], profiles: dg.ResourceParam[ProfileStore]
) -> dg.AssetCheckResult:
    """Compare counts with the published version, and look some customers up."""
    published, held = expected_count(warehouse), profiles.count()
    customers = some_customers(warehouse, _LOOKED_UP)
    missing = [each for each in customers if profiles.get(each) is None]
    return dg.AssetCheckResult(
        passed=published == held and not missing,
        metadata={
            "published": published,
            "held": held,
            "looked_up": len(customers),
            "not_found": ", ".join(missing) or "none",
        },
    )
