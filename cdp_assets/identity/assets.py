"""The Python stages of identity as assets: decisions, the candidate clusters, the customer map.

Here: wiring into Dagster and what an event shows. Not here: how any of it works.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

import dagster as dg
import numpy as np

from cdp_assets.automation import DAILY_FRESHNESS, WHEN_UPSTREAM_CHANGES
from cdp_assets.identity.apply import apply_assignments
from cdp_assets.identity.decisions import keep_decisions
from cdp_assets.identity.resolve import HARD_CAP, SOFT_CAP, resolve
from cdp_assets.identity.tables import APPLIED, ASSIGNMENTS, DECISIONS, MAP, TOUCHED, IdentityTable
from cdp_assets.naming import IDENTITY, WAREHOUSE_POOL, asset_key
from cdp_assets.partitions import SINGLE_RUN
from cdp_assets.plots import bar_chart
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.resources.warehouse import Warehouse

_MODELS: Final = (
    "changed_records",
    "edge_candidates",
    "identifiers",
    "identity_edges",
    "identity_limits",
    "identity_records",
    "source_changes",
    "touched_identifiers",
)


def build_identity_assets() -> list[dg.AssetsDefinition]:
    """The Python stages, in the order in which they run."""
    return [identity_decisions, cluster_assignments, customer_map]


def _spec(table: IdentityTable, deps: Iterable[str]) -> dg.AssetSpec:
    return dg.AssetSpec(
        asset_key(IDENTITY, table.name),
        deps=[asset_key(IDENTITY, name) for name in deps],
        group_name=IDENTITY,
        owners=["team:identity"],
        kinds={"python", "duckdb"},
        tags={"pii": "pseudonymous"},
        code_version="1",
        description=table.description,
        metadata={"dagster/column_schema": table.schema},
        automation_condition=WHEN_UPSTREAM_CHANGES,
        freshness_policy=DAILY_FRESHNESS,
    )


@dg.multi_asset(
    name=DECISIONS.name,
    specs=[_spec(DECISIONS, deps=[])],
    backfill_policy=SINGLE_RUN,
    pool=WAREHOUSE_POOL,
)
def identity_decisions(
    warehouse: dg.ResourceParam[Warehouse], store: dg.ResourceParam[ObjectStore]
) -> dg.MaterializeResult:
    """Read the decision files of the lake and keep them."""
    return dg.MaterializeResult(metadata={"dagster/row_count": keep_decisions(warehouse, store)})


@dg.multi_asset(
    name=ASSIGNMENTS.name,
    specs=[_spec(ASSIGNMENTS, deps=[*_MODELS, DECISIONS.name])],
    backfill_policy=SINGLE_RUN,
    pool=WAREHOUSE_POOL,
)
def cluster_assignments(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
    """Cluster what has to be looked at, and write the candidate for the gate."""
    resolution = resolve(warehouse)
    sizes = resolution.cluster_sizes
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(resolution.assignments),
            "is_rebuild": resolution.is_rebuild,
            "clusters": len(sizes),
            "largest_cluster": int(sizes.max(initial=0)),
            "clusters_over_soft_cap": int((sizes > SOFT_CAP).sum()),
            "clusters_over_hard_cap": int((sizes > HARD_CAP).sum()),
            "links_refused": len(resolution.refused),
            "cluster_sizes": _sizes_chart(sizes),
        }
    )


@dg.multi_asset(
    name=MAP.name,
    specs=[_spec(table, deps=[ASSIGNMENTS.name]) for table in APPLIED],
    backfill_policy=SINGLE_RUN,
    pool=WAREHOUSE_POOL,
)
def customer_map(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.MaterializeResult]:
    """Apply the audited candidate: all five tables in one transaction."""
    applied = apply_assignments(warehouse, context.run_id)
    rows = {MAP.name: applied.records, TOUCHED.name: applied.touched}
    for table in APPLIED:
        yield dg.MaterializeResult(
            asset_key=asset_key(IDENTITY, table.name),
            metadata={"dagster/row_count": rows[table.name]} if table.name in rows else {},
        )


def _sizes_chart(sizes: np.ndarray) -> dg.MarkdownMetadataValue:
    starts = [1, 2, 3, 4, 6, 11, 21, SOFT_CAP + 1, HARD_CAP + 1]
    labels = [f"{low}-{high - 1}" for low, high in pairwise(starts)]
    counts = np.histogram(sizes, bins=[*starts, np.inf])[0].tolist()
    return bar_chart(
        [*labels, f"over {HARD_CAP}"],
        counts,
        title="Clusters by number of records",
        y_label="clusters",
    )
