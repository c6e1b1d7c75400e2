"""A few objects to extract, and what came of them without what names a load."""

from __future__ import annotations

import io
from typing import Any

import pyarrow.parquet as pq

from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.settings import Limits
from cdp_assets.sources.contracts import contract_of
from cdp_assets.sources.tables import QUARANTINE, RAW
from tests.unit.sources.conftest import Lake, crm_csv, crm_row

# What another load, or the same object elsewhere, has of its own.
_OF_A_LOAD = {
    *("_load_id", "_loaded_at", "_object_version"),
    *("load_id", "loaded_at", "quarantined_at", "object_version", "attempt"),
}
CONTACTS = contract_of("crm", "contacts")
OBJECTS = {
    "a.csv": crm_csv(crm_row(1), crm_row(""), crm_row(2)),
    "b.csv": crm_csv(crm_row(3)),
    "c.csv": b"no;such;header\n",
}
# Loaded before: of `b.csv` there is a new version, and its old quarantine has to go.
BEFORE = {"b.csv": crm_csv(crm_row(9), crm_row("")), "d.csv": crm_csv(crm_row(4))}


def crm_lake(store: ObjectStore, ledger: ObjectLedger) -> Lake:
    """The CRM's corner of a lake in which some objects are loaded and others wait."""
    lake = Lake(CONTACTS, store, ledger, Limits())
    for name, content in BEFORE.items():
        lake.land(name, content)
    lake.extract_day()
    for name, content in OBJECTS.items():
        lake.land(name, content)
    return lake


def outcome(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """Raw rows, quarantine and ledger, in an order of their own."""
    ledger = [row for row in lake.ledger.rows().to_pylist() if row["status"] != "superseded"]
    return {
        RAW: _rows(lake.store, RAW),
        QUARANTINE: _rows(lake.store, QUARANTINE),
        "ledger": _plain(ledger),
    }


def _rows(store: ObjectStore, layer: str) -> list[dict[str, Any]]:
    tables = [pq.read_table(io.BytesIO(store.read(info.key))) for info in store.list(layer)]
    return _plain(row for table in tables for row in table.to_pylist())


def _plain(rows: Any) -> list[dict[str, Any]]:
    kept = [{name: row[name] for name in row if name not in _OF_A_LOAD} for row in rows]
    return sorted(kept, key=str)
