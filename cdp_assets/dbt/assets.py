"""The dbt models as Dagster assets, one dbt invocation per layer.

Here: which layer runs in which invocation, and what each event carries.
Not here: SQL; the Python stages of identity, which run between two of these.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

from cdp_assets.dbt.project import prune_invocations
from cdp_assets.dbt.translator import Translator
from cdp_assets.naming import CLEANSED, IDENTITY, PROFILE, WAREHOUSE_POOL
from cdp_assets.partitions import SINGLE_RUN
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.warehouse import Warehouse


def build_dbt_assets(project: DbtProject) -> list[dg.AssetsDefinition]:
    """One multi-asset per layer; the project's manifest must be there."""
    return [_layer_assets(layer, project) for layer in (CLEANSED, IDENTITY, PROFILE)]


def _layer_assets(layer: str, project: DbtProject) -> dg.AssetsDefinition:
    @dbt_assets(
        manifest=project.manifest_path,
        project=project,
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
        # Unit tests judge the SQL, not the data: `make test` runs them, a run need not.
        arguments = ["build", "--exclude-resource-type", "unit_test"]
        if ledger.needs_full_refresh(ledger.published_load_id()):
            context.log.info("An object was replaced since the last publish: rebuilding %s.", layer)
            arguments.append("--full-refresh")
        invocation = dbt.cli(arguments, context=context, raise_on_error=False)
        # Held until dbt has let go of the DuckDB file, so that each event carries its row count.
        events = list(invocation.stream())
        for key, rows in row_counts(warehouse, context.selected_asset_keys).items():
            context.add_asset_metadata({"dagster/row_count": rows}, asset_key=key)
        yield from events
        prune_invocations(project)
        error = invocation.get_error()
        if error is not None:
            raise error

    return models


def row_counts(warehouse: Warehouse, keys: set[dg.AssetKey]) -> dict[dg.AssetKey, int]:
    """Rows of each of these tables that exists, in one query."""
    tables = [key for key in sorted(keys) if warehouse.table_exists(*key.path)]
    if not tables:
        return {}
    counts = ", ".join(f"(select count(*) from {'.'.join(key.path)})" for key in tables)
    row = warehouse.query(f"select unnest([{counts}]) as rows").column("rows").to_pylist()
    return dict(zip(tables, row, strict=True))
