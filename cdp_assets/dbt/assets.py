"""The dbt models as Dagster assets, one dbt invocation per layer.

Here: which layer runs in which invocation, what it may write meanwhile, and what each event
carries.
Not here: SQL; the Python stages of identity, which run between two of these.
"""

import json
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliInvocation, DbtCliResource, DbtProject, dbt_assets

from cdp_assets.built_by import BUILT_BY, layers_of_other_code, mark_built
from cdp_assets.dbt.project import prune_invocations
from cdp_assets.dbt.translator import Translator
from cdp_assets.discretion import discreet
from cdp_assets.failpoints import reach
from cdp_assets.naming import CLEANSED, IDENTITY, PROFILE, WAREHOUSE_POOL
from cdp_assets.partitions import SINGLE_RUN
from cdp_assets.resources.leases import Hold, Leases
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.resources.warehouse import TableAddress, Warehouse
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.tables import refresh_source_tables, source_tables


def build_dbt_assets(
    project: DbtProject, contracts: Sequence[Contract]
) -> list[dg.AssetsDefinition]:
    """One multi-asset per layer; the project's manifest must be there."""
    return [_layer_assets(layer, project, contracts) for layer in (CLEANSED, IDENTITY, PROFILE)]


def _layer_assets(
    layer: str, project: DbtProject, contracts: Sequence[Contract]
) -> dg.AssetsDefinition:
    sources = source_tables(contracts) if layer == CLEANSED else []

    @dbt_assets(
        manifest=project.manifest_path,
        project=project,
        select=f"config.schema:{layer}",
        name=f"{layer}_models",
        dagster_dbt_translator=Translator(),
        backfill_policy=SINGLE_RUN,
        pool=WAREHOUSE_POOL,
    )
    @discreet
    def models(
        context: dg.AssetExecutionContext,
        dbt: DbtCliResource,
        store: dg.ResourceParam[ObjectStore],
        ledger: dg.ResourceParam[ObjectLedger],
        warehouse: dg.ResourceParam[Warehouse],
        leases: dg.ResourceParam[Leases],
    ) -> Iterator[Any]:
        # Unit tests judge the SQL, not the data: `make test` runs them, a run need not.
        arguments = ["build", "--exclude-resource-type", "unit_test"]
        manifest = json.loads(project.manifest_path.read_bytes())
        missing = never_built(manifest, layer, context.selected_asset_keys, warehouse)
        tables = tables_to_write(manifest, context.selected_asset_keys, missing)
        every = {table for table in dbt_tables(manifest) if table[0] == layer}
        is_new = every.isdisjoint(warehouse.tables())
        # What it reads of the sources is held as well: load ids are given before files are there,
        # and an increment would pass over a file that comes after one of a later load.
        with leases.hold([*tables, BUILT_BY, *sources]) as hold:
            if sources:
                refresh_source_tables(contracts, warehouse, ledger, store)
            if missing:
                context.log.info("Building what is not there yet: %s.", ", ".join(missing))
                dbt.cli(
                    [*arguments, "--select", " ".join(missing)], manifest=project.manifest_path
                ).wait()
            reason = None if is_new else why_anew(layer, ledger, warehouse)
            if reason is not None:
                context.log.info("%s: building %s anew.", reason, layer)
                arguments.append("--full-refresh")
            invocation = dbt.cli(arguments, context=context, raise_on_error=False)
            # Kept until dbt has let go of the DuckDB file: each event carries its row count.
            events = all_events(invocation, hold)
            error = invocation.get_error()
            if error is None and (is_new or every <= set(tables)):
                mark_built(warehouse, layer)
        for key, rows in row_counts(warehouse, context.selected_asset_keys).items():
            context.add_asset_metadata({"dagster/row_count": rows}, asset_key=key)
        yield from events
        prune_invocations(project)
        if error is not None:
            raise error

    return models


def dbt_tables(manifest: Mapping[str, Any]) -> set[TableAddress]:
    """Every table and view that dbt makes."""
    return {
        (node["config"]["schema"], node["name"])
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed")
    }


def why_anew(layer: str, ledger: ObjectLedger, warehouse: Warehouse) -> str | None:
    """Why an increment on top of what is there would be wrong; None where it would not.

    Raises:
        NewerReleaseError: code newer than this built what is there.
    """
    if layer in layers_of_other_code(warehouse):
        return "Other code built it"
    if ledger.needs_full_refresh(ledger.published_load_id()):
        return "An object was replaced since the last publish"
    return None


def never_built(
    manifest: Mapping[str, Any],
    layer: str,
    selected: AbstractSet[dg.AssetKey],
    warehouse: Warehouse,
) -> list[str]:
    """What the selected models need and nobody selected nor built: names of models and seeds.

    These are the layer's seeds and all that stands above the models. Somebody who runs one source
    of a fresh home should not have to know them, nor the other sources that identity joins.
    """
    nodes = manifest["nodes"]
    keys = {
        unique_id: dg.AssetKey([node["config"]["schema"], node["name"]])
        for unique_id, node in nodes.items()
        if node["resource_type"] in ("model", "seed")
    }
    needed = {
        unique_id
        for unique_id in keys
        if nodes[unique_id]["resource_type"] == "seed"
        and nodes[unique_id]["config"]["schema"] == layer
    }
    waiting = [unique_id for unique_id, key in keys.items() if key in selected]
    while waiting:
        parents = set(manifest["parent_map"][waiting.pop()]) & keys.keys() - needed
        needed |= parents
        waiting += parents
    there = {*selected, *(dg.AssetKey(list(address)) for address in warehouse.tables())}
    return sorted(keys[unique_id].path[-1] for unique_id in needed if keys[unique_id] not in there)


def tables_to_write(
    manifest: Mapping[str, Any], selected: AbstractSet[dg.AssetKey], missing: Iterable[str]
) -> list[TableAddress]:
    """The tables that an invocation writes: of the selected assets, and what it builds besides."""
    chosen = {(key.path[0], key.path[-1]) for key in selected}
    names = set(missing)
    return sorted(chosen | {table for table in dbt_tables(manifest) if table[1] in names})


def all_events(invocation: DbtCliInvocation, hold: Hold) -> list[Any]:
    """Every event of an invocation, once it has ended; without its leases dbt is told to stop."""
    events: list[Any] = []
    is_told = False
    for event in invocation.stream():
        events.append(event)
        reach("dbt.event")
        if hold.is_lost and not is_told:
            # As on a key press: dbt stops its statements, too. The end of the hold is the error.
            invocation.process.send_signal(signal.SIGINT)
            is_told = True
    return events


def row_counts(warehouse: Warehouse, keys: AbstractSet[dg.AssetKey]) -> dict[dg.AssetKey, int]:
    """Rows of each of these that is a table, in one query; a view would have to be computed."""
    built = warehouse.tables()
    tables = [key for key in sorted(keys) if built.get((key.path[0], key.path[-1])) == "BASE TABLE"]
    if not tables:
        return {}
    counts = " union all ".join(
        f"select {place} as place, count(*) as row_count from {'.'.join(key.path)}"
        for place, key in enumerate(tables)
    )
    rows = warehouse.query(counts).to_pydict()
    return {
        tables[place]: count for place, count in zip(rows["place"], rows["row_count"], strict=True)
    }
