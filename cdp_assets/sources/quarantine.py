"""Quarantine: what was not loaded, with the reason, kept as Parquet beside the raw files.

Here: the table's schema, its rows, listing and replay. Not here: finding broken records.
A message names where and why, never the value; the payload is the only place that holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from cdp_assets.resources.object_store import ObjectInfo, ObjectStore, seekable
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.refusal import RULES, ObjectRefused, Refusal
from cdp_assets.sources.tables import QUARANTINE

QUARANTINE_SCHEMA: Final = pa.schema(
    [
        pa.field("source", pa.string()),
        pa.field("entity", pa.string()),
        pa.field("dt", pa.string()),
        pa.field("object_key", pa.string()),
        pa.field("object_version", pa.string()),
        pa.field("line", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("scope", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("message", pa.string()),
        pa.field("payload", pa.string()),
        pa.field("contract_version", pa.int32()),
        pa.field("load_id", pa.int64()),
        pa.field("quarantined_at", pa.timestamp("us")),
    ]
)


def refused_object(refused: ObjectRefused) -> Refusal:
    """The single quarantine row of an object of which nothing is kept."""
    return Refusal(
        line=refused.line or 0,
        rule=refused.rule,
        payload="",
        column=refused.column,
        scope="object",
        detail=refused.detail,
    )


def message(contract: Contract, object_key: str, refusal: Refusal) -> str:
    """One sentence: where it is, what is wrong, what to do."""
    where = [f"{contract.source}/{contract.entity} {object_key}"]
    if refusal.line:
        where.append(f"line {refusal.line}")
    if refusal.column:
        where.append(f"column {refusal.column}")
    detail = f" ({refusal.detail})" if refusal.detail else ""
    return (
        f"{', '.join(where)}: {refusal.rule}{detail}: {RULES[refusal.rule]} "
        f"[contract version {contract.version}]."
    )


def quarantine_rows(
    contract: Contract,
    dt: str,
    info: ObjectInfo,
    load_id: int,
    now: datetime,
    refusals: Sequence[Refusal],
) -> pa.Table:
    """Refusals as rows of `QUARANTINE_SCHEMA`."""
    return pa.Table.from_pylist(
        [
            {
                "source": contract.source,
                "entity": contract.entity,
                "dt": dt,
                "object_key": info.key,
                "object_version": info.version,
                "line": refusal.line or None,
                "column": refusal.column,
                "scope": refusal.scope,
                "rule": refusal.rule,
                "message": message(contract, info.key, refusal),
                "payload": refusal.payload,
                "contract_version": contract.version,
                "load_id": load_id,
                "quarantined_at": now,
            }
            for refusal in refusals
        ],
        schema=QUARANTINE_SCHEMA,
    )


def read_quarantine(store: ObjectStore, contracts: Iterable[Contract]) -> pa.Table:
    """Everything that is in quarantine for these contracts."""
    tables = [
        table
        for contract in contracts
        for table in _tables(store, f"{QUARANTINE}/{contract.source}/{contract.entity}")
    ]
    return pa.concat_tables([QUARANTINE_SCHEMA.empty_table(), *tables])


def _tables(store: ObjectStore, prefix: str) -> Iterator[pa.Table]:
    for info in sorted(store.list(prefix), key=lambda info: info.key):
        with store.open_reader(info.key) as (_, handle), seekable(handle) as file:
            yield pq.ParquetFile(file).read()
