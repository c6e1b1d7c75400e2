"""The profile store: one customer's profile in a few milliseconds, by id or by identifier.

Here: the interface `ProfileStore`, what is written to it, and its SQLite class. Not here: what a
profile holds and which have changed (`activation/`). Identifiers come as keyed hashes (aliases):
no store is ever given a raw one as a key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import pyarrow as pa

from cdp_assets.errors import PlatformError
from cdp_assets.resources.sqlite import file_fault, make_tables, open_file, transaction

Kind = Literal["profile", "redirect", "gone"]

# DynamoDB's limit of 400 KB, less what stands beside the document. On a laptop the same, so that
# what would be refused there shows here.
MAX_BYTES: Final = 399_000
_ALIAS_BYTES: Final = 32

HELD_SCHEMA: Final = pa.schema(
    [("customer_id", pa.string()), ("kind", pa.string()), ("content_hash", pa.string())]
)


class ProfileStoreError(PlatformError):
    """The store cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Origin:
    """Who writes: which sync, of which published version, in which run.

    Attributes:
        sync_number: from `begin_sync`; an entry of a larger one is never overwritten.
        load_id: the last load that is in the published version.
        run_id: of Dagster.
    """

    sync_number: int
    load_id: int
    run_id: str


@dataclass(frozen=True)
class Entry:
    """What the store is to hold under one customer id, in place of whatever it held before.

    Attributes:
        customer_id: the key.
        kind: a profile; a redirect of an id that lives on in another; gone, which is not found.
        content_hash: tells whether the entry has changed.
        document: the profile as JSON; of a redirect the living customer id; else empty.
        aliases: keyed hashes of the identifiers that lead to the profile.
    """

    customer_id: str
    kind: Kind
    content_hash: str = ""
    document: str = ""
    aliases: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes, less what every entry takes."""
        return len(self.document.encode()) + _ALIAS_BYTES * len(self.aliases)


@dataclass(frozen=True)
class Refused:
    """An entry that is too large; what the store held before stays."""

    customer_id: str
    size: int

    def __str__(self) -> str:
        return (
            f"The profile of {self.customer_id} takes {self.size:,} bytes, at most {MAX_BYTES:,} "
            "fit: it was not written. Look at what its records are, a shared device for example."
        )


@dataclass(frozen=True)
class Written:
    """What became of the entries: how many were written, and which were not.

    Attributes:
        written: entries that are in the store now.
        refused: entries that are too large.
        outdated: customer ids of entries that a newer sync had written already.
    """

    written: int
    refused: tuple[Refused, ...] = ()
    outdated: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredProfile:
    """A profile as it was found, and who wrote it."""

    customer_id: str
    document: str
    origin: Origin


class ProfileStore(Protocol):
    """Profiles by customer id, old customer id and alias. Every call can be made again."""

    def begin_sync(self) -> int:
        """A number larger than any before it; ask before reading what is to be written."""
        ...

    def held(self) -> pa.Table:
        """What is there, without what is gone: the columns of `HELD_SCHEMA`, in no order."""
        ...

    def count(self) -> int:
        """How many profiles can be found."""
        ...

    def write(self, origin: Origin, entries: Sequence[Entry]) -> Written:
        """Put entries, each in place of what its id held, unless a newer sync wrote that.

        An alias that an entry no longer has leads nowhere, unless it leads to another customer by
        now. No customer id and no alias stands twice in `entries`.
        """
        ...

    def mark_synced(self, origin: Origin, version: str) -> None:
        """Remember that all of a published version was written, unless a newer sync said so."""
        ...

    def synced_version(self) -> str:
        """What `mark_synced` was told last, or nothing."""
        ...

    def get(self, customer_id: str) -> StoredProfile | None:
        """The profile of a customer id; of an old id, that of the customer it lives on in."""
        ...

    def find(self, alias: bytes) -> StoredProfile | None:
        """The profile that an alias leads to."""
        ...


def split_refused(entries: Sequence[Entry]) -> tuple[list[Entry], tuple[Refused, ...]]:
    """The entries that fit, and those that do not."""
    fitting = [entry for entry in entries if entry.size <= MAX_BYTES]
    refused = [
        Refused(entry.customer_id, entry.size) for entry in entries if entry.size > MAX_BYTES
    ]
    return fitting, tuple(refused)


class SQLiteProfileStore:
    """One SQLite file; a connection per call, so threads and processes may share it.

    Args:
        path: the file; made with its folder on first use.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin_sync(self) -> int:
        """A number larger than any before it."""
        with self._connect() as connection, transaction(connection):
            [number] = connection.execute(
                "update syncs set last_number = last_number + 1 returning last_number"
            ).fetchone()
        return number

    def held(self) -> pa.Table:
        """What is there, without what is gone."""
        sql = "select customer_id, kind, content_hash from customers where kind != 'gone'"
        with self._connect() as connection:
            columns = list(zip(*connection.execute(sql), strict=True)) or [[], [], []]
        return pa.table(
            {name: list(column) for name, column in zip(HELD_SCHEMA.names, columns, strict=True)},
            schema=HELD_SCHEMA,
        )

    def count(self) -> int:
        """How many profiles can be found."""
        with self._connect() as connection:
            sql = "select count(*) from customers where kind = 'profile'"
            return connection.execute(sql).fetchone()[0]

    def write(self, origin: Origin, entries: Sequence[Entry]) -> Written:
        """Put entries, each in place of what its id held, unless a newer sync wrote that."""
        fitting, refused = split_refused(entries)
        with self._connect() as connection, transaction(connection):
            outdated = tuple(
                entry.customer_id for entry in fitting if not _put(connection, origin, entry)
            )
        return Written(len(fitting) - len(outdated), refused, outdated)

    def mark_synced(self, origin: Origin, version: str) -> None:
        """Remember that all of a published version was written, unless a newer sync said so."""
        with self._connect() as connection, transaction(connection):
            connection.execute(
                "update synced set sync_number = ?1, version = ?2 where sync_number <= ?1",
                [origin.sync_number, version],
            )

    def synced_version(self) -> str:
        """What `mark_synced` was told last, or nothing."""
        with self._connect() as connection:
            return connection.execute("select version from synced").fetchone()["version"]

    def get(self, customer_id: str) -> StoredProfile | None:
        """The profile of a customer id, old or living."""
        with self._connect() as connection:
            found = _read(connection, customer_id)
            if found and found["kind"] == "redirect":
                found = _read(connection, found["document"])
        return _stored(found)

    def find(self, alias: bytes) -> StoredProfile | None:
        """The profile that an alias leads to."""
        with self._connect() as connection:
            owner = connection.execute(
                "select customer_id from aliases where alias = ?", [alias]
            ).fetchone()
            return _stored(_read(connection, owner["customer_id"]) if owner else None)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            with open_file(self._path) as connection:
                connection.row_factory = sqlite3.Row
                # What is deleted is overwritten, so that no profile can be read from the file.
                connection.execute("pragma secure_delete = on")
                _prepare(connection, self._path)
                yield connection
        except sqlite3.OperationalError as error:
            raise ProfileStoreError(
                f"The profile store {self._path} cannot be used: {file_fault(error)}"
            ) from error
        except sqlite3.DatabaseError as error:
            raise ProfileStoreError(
                f"The profile store {self._path} is damaged ({error}): move it aside, and launch "
                "refresh_profiles, which fills a new one."
            ) from error


def _put(connection: sqlite3.Connection, origin: Origin, entry: Entry) -> bool:
    """Put one entry and its aliases, unless a newer sync wrote it."""
    put = connection.execute(
        """
        insert into customers values (?, ?, ?, ?, ?, ?, ?)
        on conflict (customer_id) do update set
            kind = excluded.kind, content_hash = excluded.content_hash,
            document = excluded.document, sync_number = excluded.sync_number,
            load_id = excluded.load_id, run_id = excluded.run_id
        where excluded.sync_number >= customers.sync_number
        """,
        [
            entry.customer_id, entry.kind, entry.content_hash, entry.document,
            origin.sync_number, origin.load_id, origin.run_id,
        ],
    )  # fmt: skip
    if not put.rowcount:
        return False
    # An alias that leads nowhere is kept: an older sync must not set it again.
    connection.execute(
        """
        update aliases set customer_id = '', sync_number = ?1
        where customer_id = ?2 and sync_number <= ?1
        """,
        [origin.sync_number, entry.customer_id],
    )
    connection.executemany(
        """
        insert into aliases values (?, ?, ?)
        on conflict (alias) do update set
            customer_id = excluded.customer_id, sync_number = excluded.sync_number
        where excluded.sync_number >= aliases.sync_number
        """,
        [(alias, entry.customer_id, origin.sync_number) for alias in entry.aliases],
    )
    return True


def _read(connection: sqlite3.Connection, customer_id: str) -> sqlite3.Row | None:
    sql = "select * from customers where customer_id = ?"
    return connection.execute(sql, [customer_id]).fetchone()


def _stored(found: sqlite3.Row | None) -> StoredProfile | None:
    return stored_profile(dict(found)) if found else None


def stored_profile(found: Mapping[str, object]) -> StoredProfile | None:
    """The profile in a row or item of a store; None if it is none."""
    if found["kind"] != "profile":
        return None
    origin = Origin(
        int(str(found["sync_number"])), int(str(found["load_id"])), str(found["run_id"])
    )
    return StoredProfile(str(found["customer_id"]), str(found["document"]), origin)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    found = make_tables(connection, _VERSIONS)
    if found > len(_VERSIONS):
        raise ProfileStoreError(
            f"The profile store {path} was written by a newer release (schema {found}, this "
            f"release writes {len(_VERSIONS)}): move it aside and launch refresh_profiles."
        )


_FIRST_TABLES: Final = (
    """
    create table if not exists customers (
        customer_id text primary key, kind text not null, content_hash text not null,
        document text not null, sync_number integer not null, load_id integer not null,
        run_id text not null
    )
    """,
    """
    create table if not exists aliases (
        alias blob primary key, customer_id text not null, sync_number integer not null
    ) without rowid
    """,
    "create index if not exists aliases_by_customer on aliases (customer_id)",
    "create table if not exists syncs (last_number integer not null)",
    "insert into syncs select 0 where not exists (select 1 from syncs)",
)
_VERSIONS: Final = (
    _FIRST_TABLES,
    (
        "create table synced (sync_number integer not null, version text not null)",
        "insert into synced values (0, '')",
    ),
)
