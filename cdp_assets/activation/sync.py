"""Bringing the profile store up to what is published: only what differs is written.

Here: what differs, and the order of the work. A sync that is killed is done again from its start,
and writes what the first one had not. Not here: what a profile holds (`documents`), Dagster
(`assets`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from cdp_assets.activation.aliases import key_version
from cdp_assets.activation.documents import (
    content_sql,
    count_sql,
    ids_between,
    ids_in,
    profile_entries,
    some_sql,
)
from cdp_assets.failpoints import reach
from cdp_assets.resources.leases import Hold
from cdp_assets.resources.profile_store import (
    HELD_SCHEMA,
    Entry,
    Origin,
    ProfileStore,
    Refused,
    Written,
)
from cdp_assets.resources.warehouse import Reader, Warehouse

_T = TypeVar("_T")

# Documents in memory at once: about 50 MB.
_AT_ONCE: Final = 20_000
# Ids that fit into one statement: Athena takes 262,144 bytes.
_IDS_IN_A_STATEMENT: Final = 5_000
# A write of many items is interrupted now and then: what was written before stays.
_WRITE_AT_ONCE: Final = 1_000


@dataclass(frozen=True)
class Changes:
    """What the store has to be told, by customer id in ascending order.

    Attributes:
        profiles: customer id and content hash of profiles that are new or another.
        redirects: old customer id and the living one, new or another.
        gone: customer ids that lead nowhere any more.
        unchanged: how many entries stay as they are.
        spread: how many customer ids are published, changed or not.
    """

    profiles: dict[str, str]
    redirects: dict[str, str]
    gone: list[str]
    unchanged: int
    spread: int


@dataclass
class SyncReport:
    """What a sync did.

    Attributes:
        written: profiles and redirects that are in the store now and were not before.
        deleted: entries that lead nowhere any more.
        unchanged: entries that were as they should be.
        outdated: entries that a newer sync had written.
        refused: profiles that are too large.
    """

    written: int = 0
    deleted: int = 0
    unchanged: int = 0
    outdated: int = 0
    refused: list[Refused] = field(default_factory=list)

    def count(self, done: Written, *, as_deleted: bool = False) -> None:
        """Count what one write did."""
        if as_deleted:
            self.deleted += done.written
        else:
            self.written += done.written
        self.outdated += len(done.outdated)
        self.refused += done.refused


def sync_profiles(
    warehouse: Warehouse,
    store: ProfileStore,
    key: bytes,
    *,
    load_id: int,
    run_id: str,
    hold: Hold | None = None,
) -> SyncReport:
    """Write to the store what is published and differs.

    No other sync may be at work: what it finds as it should be, and what has gone from both, it
    does not write, and an older one could still write something else there.

    Args:
        warehouse: its published version is read, and nothing else.
        store: is told.
        key: of the aliases.
        load_id: the last load that is published.
        run_id: of Dagster.
        hold: of the lease that keeps others out.

    Raises:
        TableTakenError: the lease was lost.
    """

    def write(entries: Sequence[Entry]) -> Written:
        if hold is not None:
            hold.check()
        return store.write(origin, entries)

    # Before anything is read: what a newer sync read is never older.
    origin, version = Origin(store.begin_sync(), load_id, run_id), warehouse.published_version()
    with warehouse.published() as reader:
        published = reader.query(content_sql(key_version(key)))
        changes = compare(published, store.held())
        reach("sync.after_read")
        report = SyncReport(unchanged=changes.unchanged)
        # Profiles first: an identifier that moves to another customer leads somewhere throughout.
        for entries in _documents(reader, changes, key):
            for some in _parts(entries, _WRITE_AT_ONCE):
                report.count(write(some))
    for ids in _parts(list(changes.redirects), _WRITE_AT_ONCE):
        redirects = [_redirect(each, changes.redirects[each]) for each in ids]
        report.count(write(redirects))
    for ids in _parts(changes.gone, _WRITE_AT_ONCE):
        gone = [Entry(each, "gone") for each in ids]
        report.count(write(gone), as_deleted=True)
    store.mark_synced(origin, version)
    return report


def unsynced_version(warehouse: Warehouse, store: ProfileStore) -> str | None:
    """The published version, where no sync has brought it to the store from end to end."""
    version = warehouse.published_version()
    return None if store.synced_version() == version else version


def is_outdated(warehouse: Warehouse, store: ProfileStore) -> bool:
    """Whether the store lacks something of what is published."""
    return unsynced_version(warehouse, store) is not None


def compare(published: pa.Table, held: pa.Table) -> Changes:
    """What differs between two tables with the columns of `HELD_SCHEMA`."""
    now = published.select(HELD_SCHEMA.names).cast(HELD_SCHEMA)
    before = held.rename_columns(["customer_id", "held_kind", "held_hash"])
    both = now.join(before, "customer_id", join_type="full outer").sort_by("customer_id")
    is_published = pc.field("kind").is_valid()
    is_same = (pc.field("kind") == pc.field("held_kind")) & (
        pc.field("content_hash") == pc.field("held_hash")
    )
    changed = both.filter(is_published & (pc.field("held_kind").is_null() | ~is_same))
    gone = both.filter(~is_published)
    return Changes(
        profiles=_hashes(changed, "profile"),
        redirects=_hashes(changed, "redirect"),
        gone=gone["customer_id"].to_pylist(),
        unchanged=len(now) - len(changed),
        spread=len(now),
    )


def expected_count(warehouse: Warehouse) -> int:
    """How many profiles the store should hold."""
    with warehouse.published() as reader:
        return reader.query(count_sql())["n"][0].as_py()


def some_customers(warehouse: Warehouse, count: int) -> list[str]:
    """Customer ids that the store should find: as good as any, since ids are hashes."""
    with warehouse.published() as reader:
        return reader.query(some_sql(count))["customer_id"].to_pylist()


def _redirect(old: str, living: str) -> Entry:
    return Entry(old, "redirect", content_hash=living, document=living)


def _hashes(rows: pa.Table, kind: str) -> dict[str, str]:
    chosen = rows.filter(pc.field("kind") == kind)
    return dict(
        zip(chosen["customer_id"].to_pylist(), chosen["content_hash"].to_pylist(), strict=True)
    )


def _documents(reader: Reader, changes: Changes, key: bytes) -> Iterator[list[Entry]]:
    """The changed profiles, some at a time, from few statements."""
    # Where most changed, a range of ids reads little that is not wanted.
    by_range = 2 * len(changes.profiles) >= changes.spread
    for ids in _parts(list(changes.profiles), _AT_ONCE if by_range else _IDS_IN_A_STATEMENT):
        which = ids_between(ids[0], ids[-1]) if by_range else ids_in(ids)
        hashes = {customer_id: changes.profiles[customer_id] for customer_id in ids}
        yield profile_entries(reader, hashes, which, key)


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
