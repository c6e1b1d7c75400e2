"""The source extracts as assets, one per contract, all made by one factory.

Here: how an extract is wired into Dagster and what its materialization shows.
Not here: reading, checking and writing records (`extract.py`); the contracts (`contracts/`).
"""

import dagster as dg

from cdp_assets.automation import DAILY_FRESHNESS
from cdp_assets.discretion import discreet
from cdp_assets.naming import SOURCES, WAREHOUSE_POOL, asset_key, raw_name
from cdp_assets.partitions import LANDING_DAYS, SINGLE_RUN, landing_days
from cdp_assets.plots import bar_chart
from cdp_assets.resources.leases import Leases
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.resources.warehouse import Warehouse
from cdp_assets.settings import Settings
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.extract import ExtractReport, extract_days
from cdp_assets.sources.tables import raw_table


def build_source_asset(contract: Contract, settings: Settings) -> dg.AssetsDefinition:
    """The daily-partitioned extract of one source entity."""
    name = raw_name(contract.source, contract.entity)

    @dg.asset(
        key=asset_key(SOURCES, name),
        partitions_def=LANDING_DAYS,
        backfill_policy=SINGLE_RUN,
        group_name=SOURCES,
        owners=[contract.owner],
        kinds={"python", contract.format.kind},
        tags={"pii": contract.worst_pii, "source": contract.source},
        code_version=f"1.{contract.version}",
        description=f"{contract.description} Everything is text, exactly as delivered.",
        metadata={"dagster/column_schema": _column_schema(contract)},
        freshness_policy=DAILY_FRESHNESS,
        pool=WAREHOUSE_POOL,
    )
    @discreet
    def extract(
        context: dg.AssetExecutionContext,
        store: dg.ResourceParam[ObjectStore],
        ledger: dg.ResourceParam[ObjectLedger],
        warehouse: dg.ResourceParam[Warehouse],
        leases: dg.ResourceParam[Leases],
    ) -> dg.MaterializeResult:
        days = landing_days(context)
        with leases.hold([(SOURCES, name)]) as hold:
            report = extract_days(
                contract, days, store=store, ledger=ledger, settings=settings, hold=hold
            )
            warehouse.expose_raw([raw_table(contract, store)])
        for problem in report.problems:
            context.log.warning(problem)
        for day in days:
            context.add_asset_metadata(_day_metadata(report, day), partition_key=day)
        return dg.MaterializeResult(metadata=_run_metadata(report, days))

    return extract


def _column_schema(contract: Contract) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type="string",
                description=f"Declared as {column.type}; from {column.origin}.",
                tags={"pii": column.pii},
            )
            for column in contract.columns
        ]
    )


def _day_metadata(report: ExtractReport, day: str) -> dict[str, int]:
    counts = report.by_day.get(day)
    if counts is None:
        return {"dagster/partition_row_count": 0}
    return {
        "dagster/partition_row_count": counts.loaded,
        "records_in": counts.records_in,
        "records_quarantined": counts.quarantined,
        "objects": counts.objects,
    }


def _run_metadata(report: ExtractReport, days: list[str]) -> dict[str, dg.MetadataValue | int]:
    total = report.total
    metadata: dict[str, dg.MetadataValue | int] = {
        "dagster/row_count": total.loaded,
        "objects_loaded": total.objects,
        "objects_loaded_before": report.skipped,
        "records_in": total.records_in,
        "records_quarantined": total.quarantined,
        "new_columns": len(report.new_columns),
    }
    if len(days) > 1:
        volumes = [report.by_day[day].loaded if day in report.by_day else 0 for day in days]
        metadata["volume"] = bar_chart(
            days, volumes, title="Records loaded per landing day", y_label="records"
        )
    return metadata
