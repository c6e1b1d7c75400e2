"""Nothing is lost: records in = loaded + duplicate + suppressed + quarantined, per source entity.

The ledger counted what came in; the raw files and the cleansed tables are counted on their own.
Not here: facts about single rows (dbt tests).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from cdp_assets.naming import CLEANSED, SOURCES, WAREHOUSE_POOL, asset_key, clean_name, raw_name
from cdp_assets.resources.warehouse import Reader, Warehouse

CHECK_NAME = "records_are_conserved"


@dataclass(frozen=True)
class Conservation:
    """Where the records of one source entity are. All are counts of records.

    Attributes:
        records_in: read from landing objects, broken ones included (the ledger).
        ledger_loaded: written to raw files (the ledger).
        raw: found in the raw files.
        delivered: deliveries that the cleansed rows stand for.
        loaded: cleansed rows.
        suppressed: withheld because their person was erased (the ledger).
        quarantined: broken, kept with the reason (the ledger).
    """

    source: str
    entity: str
    records_in: int
    ledger_loaded: int
    raw: int
    delivered: int
    loaded: int
    suppressed: int
    quarantined: int

    @property
    def duplicate(self) -> int:
        """Deliveries of a record that was there already."""
        return self.delivered - self.loaded

    def faults(self) -> list[str]:
        """What does not add up, one sentence each; empty when every record is accounted for."""
        faults = []
        if self.raw != self.ledger_loaded:
            faults.append(f"the ledger loaded {self.ledger_loaded}, the raw files hold {self.raw}")
        if self.delivered != self.raw:
            faults.append(f"raw holds {self.raw}, cleansed stands for {self.delivered}")
        accounted = self.loaded + self.duplicate + self.suppressed + self.quarantined
        if accounted != self.records_in:
            faults.append(f"{self.records_in} records came in, {accounted} are accounted for")
        return faults


def conservation(
    reader: Reader, entities: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Conservation]:
    """Count the records of each source entity in the ledger, the raw files and cleansed."""
    if not entities:
        return {}
    counts = " union all ".join(_counts_sql(source, entity) for source, entity in entities)
    rows = reader.query(counts).to_pylist()
    return {(row["source"], row["entity"]): Conservation(**row) for row in rows}


def build_conservation_checks(
    entities: Sequence[tuple[str, str]],
) -> dg.AssetChecksDefinition:
    """One blocking check per cleansed table; a table that lost records goes no further."""

    @dg.multi_asset_check(
        name="records_conservation",
        specs=[
            dg.AssetCheckSpec(
                CHECK_NAME,
                asset=asset_key(CLEANSED, clean_name(source, entity)),
                blocking=True,
                description="Records in = loaded + duplicate + suppressed + quarantined.",
            )
            for source, entity in entities
        ],
        can_subset=True,
        pool=WAREHOUSE_POOL,
    )
    def records_conservation(
        context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.AssetCheckResult]:
        selected = {key.asset_key.path[-1] for key in context.selected_asset_check_keys}
        chosen = [entity for entity in entities if clean_name(*entity) in selected]
        for counted in conservation(warehouse, chosen).values():
            faults = counted.faults()
            yield dg.AssetCheckResult(
                asset_key=asset_key(CLEANSED, clean_name(counted.source, counted.entity)),
                check_name=CHECK_NAME,
                passed=not faults,
                description="; ".join(faults) or "Every record is accounted for.",
                metadata={
                    "in": counted.records_in,
                    "loaded": counted.loaded,
                    "duplicate": counted.duplicate,
                    "suppressed": counted.suppressed,
                    "quarantined": counted.quarantined,
                },
            )

    return records_conservation


def _counts_sql(source: str, entity: str) -> str:
    return f"""
        select
            '{source}' as source, '{entity}' as entity,
            ledger.*, raw.*, clean.*
        from (
            select
                cast(coalesce(sum(records_in), 0) as bigint) as records_in,
                cast(coalesce(sum(records_loaded), 0) as bigint) as ledger_loaded,
                cast(coalesce(sum(records_suppressed), 0) as bigint) as suppressed,
                cast(coalesce(sum(records_quarantined), 0) as bigint) as quarantined
            from {SOURCES}.object_ledger
            where source = '{source}' and entity = '{entity}' and status != 'superseded'
        ) as ledger,
        (select count(*) as raw from {SOURCES}.{raw_name(source, entity)}) as raw,
        (
            select cast(coalesce(sum(_deliveries), 0) as bigint) as delivered, count(*) as loaded
            from {CLEANSED}.{clean_name(source, entity)}
        ) as clean
    """
