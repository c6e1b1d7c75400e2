"""The Python stages of identity as assets: model, decisions, candidate clusters, customer map.

Here: wiring into Dagster and what an event shows. Not here: how any of it works.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

import dagster as dg
import numpy as np

from cdp_assets.automation import DAILY_FRESHNESS, WHEN_UPSTREAM_CHANGES
from cdp_assets.discretion import discreet
from cdp_assets.identity.apply import apply_assignments
from cdp_assets.identity.decisions import keep_decisions
from cdp_assets.identity.evidence import doubtful_pair
from cdp_assets.identity.match_model import MatchModel
from cdp_assets.identity.model_files import keep_model, use_model
from cdp_assets.identity.resolve import HARD_CAP, SOFT_CAP, resolve
from cdp_assets.identity.tables import (
    APPLIED,
    ASSIGNMENTS,
    DECISIONS,
    MAP,
    MATCH_MODEL,
    TERM_FREQUENCIES,
    TOUCHED,
    WRITTEN_BY_APPLY,
    WRITTEN_BY_RESOLVE,
    IdentityTable,
    to_write,
)
from cdp_assets.identity.waterfall import model_chart, waterfall
from cdp_assets.naming import IDENTITY, TRAINED_MODEL, WAREHOUSE_POOL, asset_key
from cdp_assets.partitions import SINGLE_RUN
from cdp_assets.plots import as_markdown, bar_chart
from cdp_assets.resources.leases import Leases
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.resources.warehouse import Warehouse

_MODELS: Final = (
    "changed_records",
    "edge_candidates",
    "identifiers",
    "identity_edges",
    "identity_limits",
    "identity_records",
    "match_affected",
    "match_pairs",
    "match_settings",
    "review_queue",
    "scored_pairs",
    "source_changes",
    "touched_identifiers",
)


def build_identity_assets(model: MatchModel) -> list[dg.AssetsDefinition]:
    """The Python stages, in the order in which they run, with the model that scores pairs."""
    return [
        identity_model,
        _match_model(model),
        identity_decisions,
        _cluster_assignments(model),
        customer_map,
    ]


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


@dg.asset(
    key=asset_key(IDENTITY, TRAINED_MODEL),
    deps=[asset_key(IDENTITY, "match_records")],
    group_name=IDENTITY,
    owners=["team:identity"],
    kinds={"python", "splink"},
    # The frequent values of names are in it, and no rare one.
    tags={"pii": "pseudonymous"},
    code_version="1",
    description=(
        "A new identity model, trained without labels on a sample of match_records: one JSON file "
        "in the lake. Trained by its own job only, and in use only when the setting "
        "CDP_IDENTITY_MODEL names its version."
    ),
    backfill_policy=SINGLE_RUN,
    pool=WAREHOUSE_POOL,
    check_specs=[
        dg.AssetCheckSpec(
            "agreement_outweighs_disagreement",
            asset=asset_key(IDENTITY, TRAINED_MODEL),
            description="In every comparison the highest level speaks for one person more than "
            "the lowest does.",
        )
    ],
)
@discreet
def identity_model(
    warehouse: dg.ResourceParam[Warehouse], store: dg.ResourceParam[ObjectStore]
) -> dg.MaterializeResult:
    """Train a model and keep it in the lake, for somebody to preview and choose."""
    # Imported here: loading the definitions need not pay for Splink.
    from cdp_assets.identity.training import train_model

    model = train_model(warehouse)
    key = keep_model(model, store)
    senseless = [
        comparison.name
        for comparison in model.comparisons
        if comparison.levels[1].weight <= comparison.levels[-1].weight
    ]
    return dg.MaterializeResult(
        metadata={
            "version": model.version,
            "object": key,
            "report": dg.MetadataValue.json(dict(model.report)),
            "match_weights": as_markdown(model_chart(model), "Match weights"),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not senseless,
                check_name="agreement_outweighs_disagreement",
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"comparisons": ", ".join(senseless) or "all are in order"},
            )
        ],
    )


def _match_model(model: MatchModel) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=MATCH_MODEL.name,
        specs=[_spec(table, deps=[]) for table in (MATCH_MODEL, TERM_FREQUENCIES)],
        backfill_policy=SINGLE_RUN,
        pool=WAREHOUSE_POOL,
    )
    @discreet
    def match_model(
        warehouse: dg.ResourceParam[Warehouse], leases: dg.ResourceParam[Leases]
    ) -> Iterator[dg.MaterializeResult]:
        """Put the chosen model where the matching SQL reads it, when another one is there."""
        with leases.hold(to_write(MATCH_MODEL.name, TERM_FREQUENCIES.name)):
            rows = use_model(model, warehouse)
        yield dg.MaterializeResult(
            asset_key=asset_key(IDENTITY, MATCH_MODEL.name),
            metadata={
                "version": model.version,
                "match_weights": as_markdown(model_chart(model), "Match weights"),
            },
        )
        yield dg.MaterializeResult(
            asset_key=asset_key(IDENTITY, TERM_FREQUENCIES.name),
            metadata={"dagster/row_count": rows},
        )

    return match_model


@dg.multi_asset(
    name=DECISIONS.name,
    specs=[_spec(DECISIONS, deps=[])],
    backfill_policy=SINGLE_RUN,
    pool=WAREHOUSE_POOL,
)
@discreet
def identity_decisions(
    warehouse: dg.ResourceParam[Warehouse],
    store: dg.ResourceParam[ObjectStore],
    leases: dg.ResourceParam[Leases],
) -> dg.MaterializeResult:
    """Read the decision files of the lake and keep them."""
    with leases.hold(to_write(DECISIONS.name)):
        kept = keep_decisions(warehouse, store)
    return dg.MaterializeResult(metadata={"dagster/row_count": kept})


def _cluster_assignments(model: MatchModel) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=ASSIGNMENTS.name,
        specs=[_spec(ASSIGNMENTS, deps=[*_MODELS, DECISIONS.name])],
        backfill_policy=SINGLE_RUN,
        pool=WAREHOUSE_POOL,
    )
    @discreet
    def cluster_assignments(
        warehouse: dg.ResourceParam[Warehouse], leases: dg.ResourceParam[Leases]
    ) -> dg.MaterializeResult:
        """Cluster what has to be looked at, and write the candidate for the gate."""
        with leases.hold(WRITTEN_BY_RESOLVE):
            resolved = resolve(warehouse)
        clusters = resolved.clusters
        metadata = {
            "dagster/row_count": resolved.records,
            "is_rebuild": resolved.is_rebuild,
            "clusters": int(clusters.sum()),
            "largest_cluster": max(len(clusters) - 1, 0),
            "clusters_over_soft_cap": int(clusters[SOFT_CAP + 1 :].sum()),
            "clusters_over_hard_cap": int(clusters[HARD_CAP + 1 :].sum()),
            "links_refused": resolved.refused,
            "cluster_sizes": _sizes_chart(clusters),
        }
        pair = doubtful_pair(warehouse, model)
        if pair is not None:
            metadata["a_pair_for_review"] = as_markdown(waterfall(pair), "A pair for review")
        return dg.MaterializeResult(metadata=metadata)

    return cluster_assignments


@dg.multi_asset(
    name=MAP.name,
    specs=[_spec(table, deps=[ASSIGNMENTS.name]) for table in APPLIED],
    backfill_policy=SINGLE_RUN,
    pool=WAREHOUSE_POOL,
)
@discreet
def customer_map(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    leases: dg.ResourceParam[Leases],
) -> Iterator[dg.MaterializeResult]:
    """Apply the audited candidate: all five tables in one transaction."""
    with leases.hold(WRITTEN_BY_APPLY):
        applied = apply_assignments(warehouse, context.run_id)
    rows = {MAP.name: applied.records, TOUCHED.name: applied.touched}
    for table in APPLIED:
        yield dg.MaterializeResult(
            asset_key=asset_key(IDENTITY, table.name),
            metadata={"dagster/row_count": rows[table.name]} if table.name in rows else {},
        )


def _sizes_chart(clusters: np.ndarray) -> dg.MarkdownMetadataValue:
    starts = [1, 2, 3, 4, 6, 11, 21, SOFT_CAP + 1, HARD_CAP + 1]
    labels = [f"{low}-{high - 1}" for low, high in pairwise(starts)]
    bins, sizes = [*starts, np.inf], np.arange(len(clusters))
    counts = np.histogram(sizes, bins=bins, weights=clusters)[0].tolist()
    return bar_chart(
        [*labels, f"over {HARD_CAP}"],
        counts,
        title="Clusters by number of records",
        y_label="clusters",
    )
