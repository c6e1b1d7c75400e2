"""Many objects in a landing folder, and a ledger that has loaded them, made quickly."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from cdp_assets.resources.object_ledger import LedgerEntry, SQLiteObjectLedger, utc_now
from cdp_assets.resources.object_store import ObjectInfo
from cdp_assets.sources.contracts import load_contracts

CRM = load_contracts()["crm", "contacts"]


def touch(lake: Path, keys: Iterable[str]) -> None:
    """Make empty objects, quickly."""
    made = set()
    for key in keys:
        path = lake / key
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.touch()


def settle(path: Path, infos: Iterable[ObjectInfo]) -> None:
    """Tell the ledger that these are loaded, in one transaction."""
    ledger = SQLiteObjectLedger(path)
    first = next(infos := iter(infos), None)
    if first is None:
        return
    entry = LedgerEntry(
        source="crm", entity="contacts", dt="", object_key=first.key,
        object_version=first.version, size=0, status="loaded",
        load_id=ledger.max_load_id() + 1, attempt=1, contract_version=CRM.version,
        loaded_at=utc_now(),
    )  # fmt: skip
    ledger.begin(first.key, first.version)
    ledger.commit(entry)
    values = vars(entry) | {"loaded_at": entry.loaded_at.isoformat()}
    rows = (
        values | {"object_key": info.key, "object_version": info.version, "load_id": load_id}
        for load_id, info in enumerate(infos, entry.load_id + 1)
    )
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    with sqlite3.connect(path) as connection:
        connection.executemany(f"insert into objects ({names}) values ({places})", rows)
        connection.execute(
            "insert into reservations select load_id, object_key, object_version from objects"
            " where load_id > (select max(load_id) from reservations)"
        )
