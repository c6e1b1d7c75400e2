"""Checks on the source extracts: how much was broken, and whether a source changed its shape.

They warn and never block: broken records are in quarantine already, and good ones should flow.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg
import pyarrow.compute as pc

from cdp_assets.naming import SOURCES, asset_key, raw_name
from cdp_assets.resources.object_ledger import ObjectLedger

# Above this share somebody should look at the sender; a handful of broken lines is daily life.
QUARANTINE_SHARE: Final = 0.01

_QUARANTINE = "quarantine_is_small"
_SHAPE = "shape_is_declared"


@dataclass(frozen=True)
class Totals:
    """What the ledger knows of a source entity: counts of records, and columns `a, b`."""

    records_in: int = 0
    quarantined: int = 0
    new_columns: str = ""

    def __add__(self, other: "Totals") -> "Totals":
        columns = (self.new_columns, other.new_columns)
        return Totals(
            self.records_in + other.records_in,
            self.quarantined + other.quarantined,
            ", ".join(filter(None, columns)),
        )


def build_source_checks(entities: Sequence[tuple[str, str]]) -> dg.AssetChecksDefinition:
    """Two warnings per source extract: the share in quarantine, and undeclared columns."""
    keys = {asset_key(SOURCES, raw_name(*entity)): entity for entity in entities}

    @dg.multi_asset_check(
        name="source_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=key, description=text)
            for key in keys
            for name, text in (
                (_QUARANTINE, f"At most {QUARANTINE_SHARE:.0%} of the records are in quarantine."),
                (_SHAPE, "No object brought a column that the contract does not declare."),
            )
        ],
        can_subset=True,
    )
    def source_checks(
        context: dg.AssetCheckExecutionContext, ledger: dg.ResourceParam[ObjectLedger]
    ) -> Iterator[dg.AssetCheckResult]:
        found = _totals(ledger)
        selected = context.selected_asset_check_keys
        for key in sorted(selected, key=lambda check: (check.asset_key.path, check.name)):
            yield _result(key, found[keys[key.asset_key]])

    return source_checks


def _totals(ledger: ObjectLedger) -> dict[tuple[str, str], Totals]:
    entries = ledger.rows().filter(pc.field("status") != "superseded")
    sums = entries.group_by(["source", "entity", "new_columns"]).aggregate(
        [("records_in", "sum"), ("records_quarantined", "sum")]
    )
    totals: dict[tuple[str, str], Totals] = defaultdict(Totals)
    for row in sums.sort_by("new_columns").to_pylist():
        totals[row["source"], row["entity"]] += Totals(
            row["records_in_sum"], row["records_quarantined_sum"], row["new_columns"]
        )
    return totals


def _result(key: dg.AssetCheckKey, totals: Totals) -> dg.AssetCheckResult:
    if key.name == _QUARANTINE:
        share = totals.quarantined / totals.records_in if totals.records_in else 0.0
        return dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=share <= QUARANTINE_SHARE,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "records_in": totals.records_in,
                "quarantined": totals.quarantined,
                "share": share,
            },
        )
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=not totals.new_columns,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"undeclared_columns": totals.new_columns or "none"},
    )
