"""The profile store in one DynamoDB table, for the aws profile.

Behaves as `SQLiteProfileStore` does; the same tests hold both to it. Keys begin with the tenant.

| `pk` | `sk` | Holds | Reads |
|---|---|---|---|
| `T#CUSTOMER#<customer id>` | `-` | profile, redirect or tombstone | id: 1; old id: 2 |
| `T#ALIAS#<hash>` | `-` | the customer id | identifier: this and the customer's, so 2 |
| `T#INDEX#<0 to 15>` | `<customer id>` | kind and content hash | what a sync compares with |
| `T#SYNCS` | `-` | the last sync number | |
| `T#SYNCED` | `-` | the published version that is here, whole | |

Every item says which sync wrote it, and is written on condition that none with a larger number
did. What is deleted leaves a tombstone of ids and hashes for as long as an older run might still
write; DynamoDB removes it then. Of one customer, old aliases go first, then come the profile, new
aliases, and last the index: whatever is interrupted is written again by the next sync.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, cast

import pyarrow as pa

from cdp_assets.resources.dynamodb import EXPIRES, ONLY, Item, Key, Table, Write
from cdp_assets.resources.profile_store import (
    HELD_SCHEMA,
    Entry,
    Origin,
    StoredProfile,
    Written,
    split_refused,
    stored_profile,
)

# A partition takes 1,000 writes a second: this many let a first sync run at full speed.
_SHARDS: Final = 16
_ROWS_AT_ONCE: Final = 10_000
_ALIAS_BYTES: Final = 32
# No run lives as long.
_TOMBSTONE_SECONDS: Final = 30 * 24 * 3600
_UNLESS_NEWER: Final = "attribute_not_exists(pk) or sync_number <= :sync_number"


class DynamoDBProfileStore:
    """One tenant's profiles in a DynamoDB table of `dynamodb.table_definition`.

    Args:
        client: of boto3, for DynamoDB.
        table: its name.
        tenant: every key begins with it.
    """

    def __init__(self, client: Any, table: str, tenant: str) -> None:
        self._table = Table(client, table, "profile store")
        self._tenant = tenant

    def begin_sync(self) -> int:
        """A number larger than any before it."""
        return self._table.count_up(self._pk("SYNCS"), "sync_number")

    def held(self) -> pa.Table:
        """What is there, without what is gone."""
        rows = (
            {"customer_id": item["sk"], "kind": item["kind"], "content_hash": item["content_hash"]}
            for item in self._index()
        )
        tables = [HELD_SCHEMA.empty_table()]
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            tables.append(pa.Table.from_pylist(some, schema=HELD_SCHEMA))
        return pa.concat_tables(tables)

    def count(self) -> int:
        """How many profiles can be found."""
        return sum(item["kind"] == "profile" for item in self._index())

    def write(self, origin: Origin, entries: Sequence[Entry]) -> Written:
        """Put entries, each in place of what its id held, unless a newer sync wrote that."""
        fitting, refused = split_refused(entries)
        self._table.write_each(self._forgotten_aliases(origin, fitting))
        customers = [self._put(self._customer_item(entry, origin), origin) for entry in fitting]
        outdated = [str(each.item["customer_id"]) for each in self._table.write_each(customers)]
        self._table.write_each(
            [
                self._put({**self._alias_key(alias), "customer_id": entry.customer_id}, origin)
                for entry in fitting
                if entry.customer_id not in outdated
                for alias in entry.aliases
            ]
        )
        self._table.write_each([self._put(self._index_item(entry), origin) for entry in fitting])
        return Written(len(fitting) - len(outdated), refused, tuple(outdated))

    def mark_synced(self, origin: Origin, version: str) -> None:
        """Remember that all of a published version was written, unless a newer sync said so."""
        mark: Item = {"pk": self._pk("SYNCED"), "sk": ONLY, "version": version}
        self._table.write_each([self._put(mark, origin)])

    def synced_version(self) -> str:
        """What `mark_synced` was told last, or nothing."""
        mark = self._table.get(self._pk("SYNCED"))
        return str(mark["version"]) if mark else ""

    def get(self, customer_id: str) -> StoredProfile | None:
        """The profile of a customer id, old or living."""
        found = self._table.get(self._customer_pk(customer_id))
        if found and found["kind"] == "redirect":
            found = self._table.get(self._customer_pk(str(found["document"])))
        return stored_profile(found) if found else None

    def find(self, alias: bytes) -> StoredProfile | None:
        """The profile that an alias leads to."""
        owner = self._table.get(str(self._alias_key(alias)["pk"]))
        if not owner or not owner["customer_id"]:
            return None
        found = self._table.get(self._customer_pk(str(owner["customer_id"])))
        # The profile has the last word: an older run may have left an alias behind.
        return stored_profile(found) if found and alias in _aliases(found) else None

    def _index(self) -> Iterator[Item]:
        for shard in range(_SHARDS):
            for item in self._table.query(self._pk("INDEX", str(shard))):
                if item["kind"] != "gone":
                    yield item

    def _forgotten_aliases(self, origin: Origin, entries: Sequence[Entry]) -> list[Write]:
        """Tombstones for the aliases that customers had and no longer have."""
        keys: dict[Key, Entry] = {
            (self._customer_pk(entry.customer_id), ONLY): entry for entry in entries
        }
        owners: dict[bytes, list[str]] = {}
        for key, before in self._table.get_many(keys, ["aliases"]).items():
            kept = set(keys[key].aliases)
            for alias in _aliases(before):
                if alias not in kept:
                    owners.setdefault(alias, []).append(keys[key].customer_id)
        return [self._tombstone(alias, former, origin) for alias, former in owners.items()]

    def _tombstone(self, alias: bytes, former: Sequence[str], origin: Origin) -> Write:
        # An alias that leads to somebody else by now is theirs.
        names = {f"owner{place}": owner for place, owner in enumerate(former)}
        places = ", ".join(f":{name}" for name in names)
        put = self._put({**self._alias_key(alias), "customer_id": "", **_expiry()}, origin)
        return Write(
            put.item,
            f"sync_number <= :sync_number and customer_id in ({places})",
            values={"sync_number": origin.sync_number, **names},
        )

    def _put(self, item: Item, origin: Origin) -> Write:
        number = origin.sync_number
        return Write({**item, "sync_number": number}, _UNLESS_NEWER, values={"sync_number": number})

    def _customer_item(self, entry: Entry, origin: Origin) -> Item:
        return {
            "pk": self._customer_pk(entry.customer_id),
            "sk": ONLY,
            "customer_id": entry.customer_id,
            "kind": entry.kind,
            "document": entry.document,
            "aliases": b"".join(entry.aliases),
            "load_id": origin.load_id,
            "run_id": origin.run_id,
            **(_expiry() if entry.kind == "gone" else {}),
        }

    def _index_item(self, entry: Entry) -> Item:
        shard = zlib.crc32(entry.customer_id.encode()) % _SHARDS
        return {
            "pk": self._pk("INDEX", str(shard)),
            "sk": entry.customer_id,
            "kind": entry.kind,
            "content_hash": entry.content_hash,
            **(_expiry() if entry.kind == "gone" else {}),
        }

    def _customer_pk(self, customer_id: str) -> str:
        return self._pk("CUSTOMER", customer_id)

    def _alias_key(self, alias: bytes) -> Item:
        return {"pk": self._pk("ALIAS", alias.hex()), "sk": ONLY}

    def _pk(self, *parts: str) -> str:
        return "#".join((self._tenant, *parts))


def _aliases(item: Item) -> Iterator[bytes]:
    joined = cast(bytes, item.get("aliases", b""))
    for start in range(0, len(joined), _ALIAS_BYTES):
        yield joined[start : start + _ALIAS_BYTES]


def _expiry() -> Item:
    return {EXPIRES: int(time.time()) + _TOMBSTONE_SECONDS}
