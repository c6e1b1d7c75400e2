"""The profile store as an asset: what can be looked up follows what is published.

Not here: what differs and how it is written (`sync.py`), what a profile holds (`documents.py`).
"""

from typing import Final

import dagster as dg

from cdp_assets.activation.sync import sync_profiles
from cdp_assets.automation import DAILY_FRESHNESS, WHEN_UPSTREAM_CHANGES
from cdp_assets.discretion import discreet
from cdp_assets.naming import ACTIVATION, PROFILE, WAREHOUSE_POOL, asset_key
from cdp_assets.partitions import SINGLE_RUN
from cdp_assets.resources.leases import Leases
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.profile_store import ProfileStore
from cdp_assets.resources.secrets import Secrets
from cdp_assets.resources.warehouse import Warehouse

# A warning per profile is read by nobody; the count is in the metadata.
_SHOWN: Final = 10

_STORE: Final = "profile_store"

_COLUMNS: Final = dg.TableSchema(
    columns=[
        dg.TableColumn(name, kind, description=text, tags={"pii": pii})
        for name, kind, text, pii in (
            ("customer_id", "string", "The customer, or an id it once had.", "pseudonymous"),
            ("kind", "string", "profile, redirect or gone.", "none"),
            ("document", "string", "The profile as JSON.", "direct_identifier"),
            ("aliases", "binary", "Keyed hashes of its identifiers.", "pseudonymous"),
            ("content_hash", "string", "Tells whether it has changed.", "pseudonymous"),
            ("sync_number", "int", "Which sync wrote it; they grow.", "none"),
            ("load_id", "int", "The last load that was published then.", "none"),
            ("run_id", "string", "The Dagster run that wrote it.", "none"),
        )
    ]
)


@dg.asset(
    key=asset_key(ACTIVATION, _STORE),
    deps=[asset_key(PROFILE, "published_profiles")],
    group_name=ACTIVATION,
    owners=["team:activation"],
    kinds={"python"},
    tags={"pii": "direct_identifier"},
    code_version="1",
    description=(
        "One entry per published customer and per id that a customer once had, found by id or by "
        "identifier in milliseconds. Only what changed since the last sync is written."
    ),
    metadata={"dagster/column_schema": _COLUMNS},
    automation_condition=WHEN_UPSTREAM_CHANGES,
    freshness_policy=DAILY_FRESHNESS,
    backfill_policy=SINGLE_RUN,
    pool=WAREHOUSE_POOL,
)
@discreet
def profile_store(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    ledger: dg.ResourceParam[ObjectLedger],
    profiles: dg.ResourceParam[ProfileStore],
    secrets: dg.ResourceParam[Secrets],
    leases: dg.ResourceParam[Leases],
) -> dg.MaterializeResult:
    """Write to the store what is published and differs."""
    with leases.hold([(ACTIVATION, _STORE)]) as hold:
        report = sync_profiles(
            warehouse,
            profiles,
            secrets.hmac_key(),
            load_id=ledger.published_load_id(),
            run_id=context.run_id,
            hold=hold,
        )
    for refused in report.refused[:_SHOWN]:
        context.log.warning(str(refused))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": profiles.count(),
            "written": report.written,
            "deleted": report.deleted,
            "unchanged": report.unchanged,
            "outdated": report.outdated,
            "refused": len(report.refused),
        }
    )
