"""The dbt models as Dagster assets, one dbt invocation per layer.

Here: which layer runs in which invocation, and what each event carries.
Not here: SQL; the Python stages of identity, which run between two of these.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from cdp_assets.dbt.project import dbt_project, prepared_manifest
from cdp_assets.dbt.translator import Translator
from cdp_assets.naming import CLEANSED, IDENTITY, PROFILE, WAREHOUSE_POOL
from cdp_assets.partitions import SINGLE_RUN
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.warehouse import Warehouse


def build_dbt_resource(target: str) -> DbtCliResource:
    """The dbt command line of this environment, as a child that dies with its run."""
    return DbtCliResource(
        project_dir=dbt_project,
        target=target,
        dbt_executable=str(Path(sys.executable).parent / "cdp-dbt"),
        global_config_flags=["--no-use-colors"],
    )


def build_dbt_assets() -> list[dg.AssetsDefinition]:
    """One multi-asset per layer; the manifest is parsed first when it is missing or stale."""
    manifest = prepared_manifest()
    return [_layer_assets(layer, manifest) for layer in (CLEANSED, IDENTITY, PROFILE)]


def _layer_assets(layer: str, manifest: Path) -> dg.AssetsDefinition:
    @dbt_assets(
        manifest=manifest,
        project=dbt_project,
        select=f"config.schema:{layer}",
        name=f"{layer}_models",
        dagster_dbt_translator=Translator(),
        backfill_policy=SINGLE_RUN,
        pool=WAREHOUSE_POOL,
    )
    def models(
        context: dg.AssetExecutionContext,
        dbt: DbtCliResource,
        ledger: dg.ResourceParam[ObjectLedger],
        warehouse: dg.ResourceParam[Warehouse],
    ) -> Iterator[Any]:
        arguments = ["build"]
        if ledger.needs_full_refresh(ledger.published_load_id()):
            context.log.info("An object was replaced since the last publish: rebuilding %s.", layer)
            arguments.append("--full-refresh")
        yield from dbt.cli(arguments, context=context).stream()
        context.log.info("%s", row_counts(warehouse, context.selected_asset_keys))

    return models


def row_counts(warehouse: Warehouse, keys: set[dg.AssetKey]) -> dict[str, int]:
    """Rows of each of these tables, in one query; read after dbt has let go of the file."""
    names = sorted(key.path for key in keys)
    sql = " union all ".join(
        f"select '{layer}.{name}' as name, count(*) as n from {layer}.{name}"
        for layer, name in names
    )
    return dict(zip(*warehouse.query(sql).to_pydict().values(), strict=True)) if names else {}
