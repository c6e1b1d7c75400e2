"""Checks on the source extracts: how much was broken, and whether a source changed its shape.

They warn and never block: broken records are in quarantine already, and good ones should flow.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import dagster as dg

from cdp_assets.naming import SOURCES, WAREHOUSE_POOL, asset_key, raw_name
from cdp_assets.resources.warehouse import Warehouse

# Above this share somebody should look at the sender; a handful of broken lines is daily life.
QUARANTINE_SHARE: Final = 0.01

_QUARANTINE = "quarantine_is_small"
_SHAPE = "shape_is_declared"


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
        pool=WAREHOUSE_POOL,
    )
    def source_checks(
        context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.AssetCheckResult]:
        found = {(row["source"], row["entity"]): row for row in _ledger_totals(warehouse)}
        selected = context.selected_asset_check_keys
        for key in sorted(selected, key=lambda check: (check.asset_key.path, check.name)):
            totals = found.get(keys[key.asset_key])
            yield _result(key, totals)

    return source_checks


def _ledger_totals(warehouse: Warehouse) -> list[dict[str, Any]]:
    return warehouse.query(
        f"""
        select
            source, entity,
            sum(records_in)::bigint as records_in,
            sum(records_quarantined)::bigint as quarantined,
            string_agg(distinct nullif(new_columns, ''), ', ') as new_columns
        from {SOURCES}.object_ledger
        where status != 'superseded'
        group by source, entity
        """
    ).to_pylist()


def _result(key: dg.AssetCheckKey, totals: dict[str, Any] | None) -> dg.AssetCheckResult:
    records_in = totals["records_in"] if totals else 0
    quarantined = totals["quarantined"] if totals else 0
    new_columns = (totals["new_columns"] if totals else None) or ""
    if key.name == _QUARANTINE:
        share = quarantined / records_in if records_in else 0.0
        return dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=share <= QUARANTINE_SHARE,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"records_in": records_in, "quarantined": quarantined, "share": share},
        )
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=not new_columns,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"undeclared_columns": new_columns or "none"},
    )
