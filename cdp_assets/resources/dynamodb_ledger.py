"""The object ledger in one DynamoDB table, for the aws profile.

Behaves as `SQLiteObjectLedger` does, call by call; the same tests hold both to it. Every read is
a strongly consistent read of an item or a partition: nothing is scanned, and there is no index that
could lag. Keys begin with the tenant.

| `pk` | `sk` | Holds | Read by |
|---|---|---|---|
| `T#COUNTER` | `-` | the last load id given | `begin`, `max_load_id` |
| `T#PUBLISHED` | `-` | how far the published version goes | `published_load_id` |
| `T#OBJECT#<key>` | `HEAD` | revision, current load | `current`, every write to it |
| `T#OBJECT#<key>` | `LOAD#<load id>` | a reservation and its outcome | `begin`, `commit` |
| `T#LOADS#<load id / 10,000>` | `<load id>` | the entry | `rows`, `current` |
| `T#SOURCE#<source>` | `<object key>` | what is settled of it | `settled` |
| `T#REPEATS` | `<load id>` | a load of an object begun before | `needs_full_refresh` |
| `T#UNKNOWN` | hash of the key | an object that no contract speaks of | `unknown` |

Whatever changes an object raises the revision of its head in the same transaction, on condition
that it is the revision that was read: two writers cannot both be first. A write whose answer was
lost is found by looking again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final, cast

import pyarrow as pa

from cdp_assets.resources.dynamodb import ONLY, Item, Table, Write, waits
from cdp_assets.resources.object_ledger import (
    LEDGER_SCHEMA,
    SETTLED,
    LedgerEntry,
    LedgerError,
    Reservation,
    Settled,
    Status,
    UnknownObject,
)

# About 7 MB of entries: a partition that is read in seconds, and few enough of them.
_BUCKET: Final = 10_000
_ROWS_AT_ONCE: Final = 5_000
_HEAD: Final = "HEAD"
_LOAD: Final = "LOAD#"


@dataclass(frozen=True)
class _Object:
    """What the ledger knows of one object key: its head, and its loads by load id."""

    revision: int
    current: int
    loads: dict[int, Item]

    @property
    def newest(self) -> int:
        """The largest load id that was reserved for it, or 0."""
        return max(self.loads, default=0)


class DynamoDBObjectLedger:
    """One tenant's ledger in a DynamoDB table of `dynamodb.table_definition`.

    Args:
        client: of boto3, for DynamoDB.
        table: its name.
        tenant: every key begins with it.
    """

    def __init__(self, client: Any, table: str, tenant: str) -> None:
        self._table = Table(client, table, "object ledger")
        self._tenant = tenant

    def settled(self, keys: Collection[str]) -> dict[str, Settled]:
        """What is settled of these objects; of the others nothing."""
        # landing/<source>/...: of a key without a source nothing was ever loaded.
        places = {
            (self._pk("SOURCE", key.split("/")[1]), key) for key in keys if key.count("/") > 1
        }
        found = self._table.get_many(places, Settled._fields)
        return {
            key: Settled(*(cast(Any, item[name]) for name in Settled._fields))
            for (_, key), item in found.items()
        }

    def begin(self, object_key: str, object_version: str) -> Reservation:
        """Reserve a load id, larger than any before it."""
        for wait in waits(f"{object_key} is being loaded by others and gave no load id"):
            load_id = self._table.count_up(self._pk("COUNTER"), "load_id")
            known = self._object(object_key)
            if known.newest < load_id:
                same = [
                    load
                    for load in known.loads.values()
                    if load["object_version"] == object_version
                ]
                load = self._load_item(object_key, load_id, object_version, len(same) + 1)
                if not self._table.transact(
                    [Write(load, "attribute_not_exists(pk)"), self._raise(object_key, known)]
                ):
                    return Reservation(load_id, len(same) + 1)
                found = self._object(object_key).loads.get(load_id)
                if found is not None:
                    # The first try was written, and its answer lost.
                    return Reservation(load_id, cast(int, found["attempt"]))
            wait()
        raise AssertionError("unreachable")

    def commit(self, entry: LedgerEntry) -> None:
        """Record an extraction; older entries of the same key become `superseded`.

        An object that went missing replaces nothing: what was loaded of it stays loaded.

        Raises:
            LedgerError: another outcome was recorded under this load id.
        """
        for wait in waits(f"{entry.object_key} is being loaded by others: its load is not kept"):
            if self._is_recorded(entry):
                return
            known = self._object(entry.object_key)
            if not self._table.transact(self._commit_writes(entry, known)):
                return
            wait()
        raise AssertionError("unreachable")

    def rows(self) -> pa.Table:
        """Every entry, with the columns of `LEDGER_SCHEMA`, by load id."""
        entries = (vars(entry) for entry in self._entries())
        tables = [LEDGER_SCHEMA.empty_table()]
        while some := list(islice(entries, _ROWS_AT_ONCE)):
            tables.append(pa.Table.from_pylist(some, schema=LEDGER_SCHEMA))
        return pa.concat_tables(tables)

    def current(self, object_key: str) -> LedgerEntry | None:
        """The entry of a key that is not superseded."""
        head = self._table.get(self._pk("OBJECT", object_key), _HEAD)
        return self._entry(cast(int, head["current"])) if head and head.get("current") else None

    def max_load_id(self) -> int:
        """The largest load id reserved so far, or 0."""
        return self._number("COUNTER")

    def newest_settled(self, since_load_id: int) -> int | None:
        """The largest settled load id above this one."""
        above = self._entries(since_load_id)
        return max((entry.load_id for entry in above if entry.status in SETTLED), default=None)

    def needs_full_refresh(self, since_load_id: int) -> bool:
        """Tell whether a key loaded after `since_load_id` had been extracted before."""
        looked_at: dict[str, int] = {}
        for item in self._table.query(self._pk("REPEATS"), after=_padded(since_load_id)):
            object_key = str(item["object_key"])
            if object_key not in looked_at:
                kept = [
                    load_id
                    for load_id, load in self._object(object_key).loads.items()
                    # Without an outcome it was killed: its raw file may have been read already.
                    if "outcome" not in load or cast(int, load["kept"]) > 0
                ]
                looked_at[object_key] = min(kept, default=0)
            if 0 < looked_at[object_key] < int(str(item["sk"])):
                return True
        return False

    def mark_published(self, load_id: int) -> None:
        """Remember that every load up to `load_id` is in the published version."""
        mark: Item = {"pk": self._pk("PUBLISHED"), "sk": ONLY, "load_id": load_id}
        is_more = "attribute_not_exists(pk) or load_id < :id"
        self._table.transact([Write(mark, is_more, values={"id": load_id})])

    def published_load_id(self) -> int:
        """The largest that `mark_published` was told, or 0."""
        return self._number("PUBLISHED")

    def replace_unknown(self, source: str, unknown: Sequence[UnknownObject]) -> None:
        """Make `unknown` the unknown objects of a source's landing folder.

        A sensor asks for this every few seconds: only what differs is written.
        """
        before = {
            str(item["sk"]): item
            for item in self._table.query(self._pk("UNKNOWN"))
            if item["source"] == source
        }
        after = {
            str(item["sk"]): item for item in (self._unknown_item(source, each) for each in unknown)
        }
        self._table.put_all(item for sk, item in after.items() if before.get(sk) != item)
        self._table.delete_all((self._pk("UNKNOWN"), sk) for sk in before.keys() - after.keys())

    def unknown(self) -> list[UnknownObject]:
        """Unknown objects of every source, by key."""
        found = [
            UnknownObject(str(item["object_key"]), str(item["reason"]))
            for item in self._table.query(self._pk("UNKNOWN"))
        ]
        return sorted(found, key=lambda each: each.object_key)

    def _commit_writes(self, entry: LedgerEntry, known: _Object) -> list[Write]:
        """What recording an entry writes, all in one transaction."""
        replaces = entry.status != "missing"
        is_newest = replaces and entry.load_id > known.current
        outcome = "superseded" if replaces and not is_newest else entry.status
        load = self._load_item(entry.object_key, entry.load_id, entry.object_version, entry.attempt)
        writes = [
            Write(self._entry_item(replace(entry, status=outcome)), "attribute_not_exists(pk)"),
            Write({**load, "outcome": outcome, "kept": entry.records_loaded}),
            self._raise(entry.object_key, known, entry.load_id if is_newest else known.current),
        ]
        if is_newest and known.current:
            older: Item = {
                "pk": self._loads(known.current), "sk": _padded(known.current)
            }  # fmt: skip
            writes.append(
                Write(older, update="set outcome = :outcome", values={"outcome": "superseded"})
            )
        if is_newest and entry.status in SETTLED:
            writes.append(
                Write(
                    {
                        "pk": self._pk("SOURCE", entry.source),
                        "sk": entry.object_key,
                        "object_version": entry.object_version,
                        "contract_version": entry.contract_version,
                        "load_id": entry.load_id,
                    }
                )
            )
        if replaces and min(known.loads, default=entry.load_id) < entry.load_id:
            repeat: Item = {"pk": self._pk("REPEATS"), "sk": _padded(entry.load_id)}
            writes.append(Write({**repeat, "object_key": entry.object_key}))
        return writes

    def _is_recorded(self, entry: LedgerEntry) -> bool:
        recorded = self._entry(entry.load_id)
        if recorded is None:
            return False
        # It may have been superseded since.
        if replace(recorded, status=entry.status) != entry:
            raise LedgerError(
                f"Load {entry.load_id} of {entry.object_key} is in the object ledger already, with "
                "another outcome: run again, which takes a new load id."
            )
        return True

    def _raise(self, object_key: str, known: _Object, current: int | None = None) -> Write:
        """Raise the revision of an object's head, if it is still the one that was read."""
        head: Item = {
            "pk": self._pk("OBJECT", object_key),
            "sk": _HEAD,
            "revision": known.revision + 1,
            "current": known.current if current is None else current,
        }
        if not known.revision:
            return Write(head, "attribute_not_exists(pk)")
        return Write(head, "revision = :seen", values={"seen": known.revision})

    def _object(self, object_key: str) -> _Object:
        head: Item = {}
        loads: dict[int, Item] = {}
        for item in self._table.query(self._pk("OBJECT", object_key)):
            if item["sk"] == _HEAD:
                head = item
            else:
                loads[int(str(item["sk"]).removeprefix(_LOAD))] = item
        return _Object(cast(int, head.get("revision", 0)), cast(int, head.get("current", 0)), loads)

    def _load_item(self, object_key: str, load_id: int, object_version: str, attempt: int) -> Item:
        return {
            "pk": self._pk("OBJECT", object_key),
            "sk": f"{_LOAD}{_padded(load_id)}",
            "object_version": object_version,
            "attempt": attempt,
        }

    def _entry(self, load_id: int) -> LedgerEntry | None:
        item = self._table.get(self._loads(load_id), _padded(load_id))
        return _entry(item) if item else None

    def _entries(self, since_load_id: int = 0) -> Iterator[LedgerEntry]:
        """Every entry above a load id, in order."""
        after = _padded(since_load_id)
        for first in range(since_load_id // _BUCKET * _BUCKET, self.max_load_id() + 1, _BUCKET):
            yield from map(_entry, self._table.query(self._loads(first), after=after))

    def _entry_item(self, entry: LedgerEntry) -> Item:
        values = {**vars(entry), "loaded_at": entry.loaded_at.isoformat()}
        # `status` is a reserved word of DynamoDB.
        values["outcome"] = values.pop("status")
        return {"pk": self._loads(entry.load_id), "sk": _padded(entry.load_id), **values}

    def _unknown_item(self, source: str, found: UnknownObject) -> Item:
        return {
            "pk": self._pk("UNKNOWN"),
            # A name may be longer than a sort key, once its odd bytes are written out.
            "sk": hashlib.sha256(found.object_key.encode()).hexdigest(),
            "source": source,
            "object_key": found.object_key,
            "reason": found.reason,
        }

    def _number(self, name: str) -> int:
        item = self._table.get(self._pk(name))
        return cast(int, item["load_id"]) if item else 0

    def _loads(self, load_id: int) -> str:
        return self._pk("LOADS", f"{load_id // _BUCKET:09}")

    def _pk(self, *parts: str) -> str:
        return "#".join((self._tenant, *parts))


def _entry(item: Item) -> LedgerEntry:
    values: dict[str, Any] = {
        field.name: item[field.name] for field in fields(LedgerEntry) if field.name in item
    }
    values["loaded_at"] = datetime.fromisoformat(str(item["loaded_at"]))
    return LedgerEntry(**values, status=cast(Status, item["outcome"]))


def _padded(load_id: int) -> str:
    return f"{load_id:015}"
