"""The object ledger: which landing objects were loaded, at which version, with which counts.

It is the truth of what was loaded; no cursor, run key or time stamp is. Here: the interface
`ObjectLedger` and its SQLite class. Not here: deciding what to load (`sources.planner`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

import pyarrow as pa

from cdp_assets.errors import PlatformError
from cdp_assets.resources.sqlite import file_fault, make_tables, open_file, transaction

Status = Literal["loaded", "empty", "refused", "missing", "superseded"]

# Statuses that settle a version of an object: nothing more is done for it on its own.
SETTLED: Final = ("loaded", "empty", "refused")


class LedgerError(PlatformError):
    """The ledger file cannot be read or is of another release; the message says what to do."""


@dataclass(frozen=True)
class LedgerEntry:
    """What became of one version of one object.

    Attributes:
        source: of the contract.
        entity: of the contract.
        dt: the landing day, YYYY-MM-DD.
        object_key: below the lake.
        object_version: as the object store tells it.
        size: bytes, as stored.
        status: loaded | empty | refused | missing, and superseded once a newer load of the same
            key is committed.
        load_id: one number per extraction, growing over all entities.
        attempt: how many extractions of this version were begun, this one included.
        contract_version: that it was judged by.
        records_in: records found; an object refused whole counts as one.
        records_loaded: rows of the raw file.
        records_quarantined: records in quarantine.
        records_suppressed: records withheld because their person was erased.
        values_discarded: single values in quarantine, whose records were loaded.
        new_columns: undeclared columns or keys it brought, `a, b`, or empty.
        error: why it was refused or is missing, or empty.
        raw_path: key of the raw file, or empty.
        quarantine_path: key of the quarantine file, or empty.
        loaded_at: UTC.
    """

    source: str
    entity: str
    dt: str
    object_key: str
    object_version: str
    size: int
    status: Status
    load_id: int
    attempt: int
    contract_version: int
    loaded_at: datetime
    records_in: int = 0
    records_loaded: int = 0
    records_quarantined: int = 0
    records_suppressed: int = 0
    values_discarded: int = 0
    new_columns: str = ""
    error: str = ""
    raw_path: str = ""
    quarantine_path: str = ""


@dataclass(frozen=True)
class Reservation:
    """The right to load one version of one object under a number."""

    load_id: int
    attempt: int


class Settled(NamedTuple):
    """Which version of an object is settled, by which version of its contract, as which load."""

    object_version: str
    contract_version: int
    load_id: int


@dataclass(frozen=True)
class UnknownObject:
    """An object under landing/ that no contract speaks of."""

    object_key: str
    reason: str


LEDGER_SCHEMA: Final = pa.schema(
    [
        pa.field(
            field.name,
            {"int": pa.int64(), "datetime": pa.timestamp("us")}.get(str(field.type), pa.string()),
        )
        for field in fields(LedgerEntry)
    ]
)


class ObjectLedger(Protocol):
    """What was loaded. Every call is atomic and safe from several threads."""

    def settled(self, keys: Collection[str]) -> dict[str, Settled]:
        """What is settled of these objects; of the others nothing."""
        ...

    def begin(self, object_key: str, object_version: str) -> Reservation:
        """Reserve a load id, larger than any before it; kept even if the load never commits."""
        ...

    def commit(self, entry: LedgerEntry) -> None:
        """Record an extraction. Older entries of the same key become `superseded`.

        Repeating a commit changes nothing; another outcome under its load id is a `LedgerError`.
        """
        ...

    def rows(self) -> pa.Table:
        """Every entry, with the columns of `LEDGER_SCHEMA`, by load id."""
        ...

    def current(self, object_key: str) -> LedgerEntry | None:
        """The entry of a key that is not superseded."""
        ...

    def max_load_id(self) -> int:
        """The largest load id reserved so far, or 0."""
        ...

    def newest_settled(self, since_load_id: int) -> int | None:
        """The largest settled load id above this one; costs as much as there are loads above it."""
        ...

    def needs_full_refresh(self, since_load_id: int) -> bool:
        """Tell whether a key loaded after `since_load_id` had been extracted before.

        Then raw rows were replaced, and an increment on top of the old ones would be wrong. An
        extraction that was killed counts: its raw file may have been read already.
        """
        ...

    def mark_published(self, load_id: int) -> None:
        """Remember that every load up to `load_id` is in the published version.

        It never goes back: what was published once stays published.
        """
        ...

    def published_load_id(self) -> int:
        """The largest that `mark_published` was told, or 0."""
        ...

    def replace_unknown(self, source: str, unknown: Sequence[UnknownObject]) -> None:
        """Make `unknown` the unknown objects of a source's landing folder."""
        ...

    def unknown(self) -> list[UnknownObject]:
        """Unknown objects of every source, by key."""
        ...


class SQLiteObjectLedger:
    """One SQLite file; a connection per call, so threads and processes may share it.

    The journal is a rollback journal, not a WAL: one file to copy, and no shared memory that
    network folders lack. A call costs under a millisecond against an object's load.

    Args:
        path: the file; made with its folder on first use.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def settled(self, keys: Collection[str]) -> dict[str, Settled]:
        """What is settled of these objects; of the others nothing."""
        sql = f"""
            select object_key, {", ".join(Settled._fields)} from objects
            where object_key in (select value from json_each(?)) and status in {SETTLED}
        """
        with self._connect() as connection:
            found = connection.execute(sql, [json.dumps(list(keys))])
            return {key: Settled(*values) for key, *values in found}

    def begin(self, object_key: str, object_version: str) -> Reservation:
        """Reserve a load id, larger than any before it."""
        with self._connect() as connection, transaction(connection):
            cursor = connection.execute(
                "insert into reservations (object_key, object_version) values (?, ?)",
                [object_key, object_version],
            )
            if cursor.lastrowid is None:
                raise LedgerError(f"{self._path} gave no load id: run `cdp doctor`.")
            attempt = _scalar(
                connection,
                "select count(*) from reservations where object_key = ? and object_version = ?",
                [object_key, object_version],
            )
        return Reservation(load_id=cursor.lastrowid, attempt=attempt)

    def commit(self, entry: LedgerEntry) -> None:
        """Record an extraction; older entries of the same key become `superseded`.

        An object that went missing replaces nothing: what was loaded of it stays loaded.

        Raises:
            LedgerError: another outcome was recorded under this load id.
        """
        values = [
            value.isoformat() if isinstance(value, datetime) else value
            for value in (getattr(entry, field.name) for field in fields(entry))
        ]
        places = ", ".join("?" * len(values))
        supersede = """
            update objects set status = 'superseded'
            where object_key = ?1 and status != 'missing' and load_id < (
                select max(load_id) from objects where object_key = ?1 and status != 'missing'
            )
        """
        with self._connect() as connection, transaction(connection):
            if self._is_recorded(connection, entry):
                return
            connection.execute(f"insert into objects ({_COLUMNS}) values ({places})", values)
            connection.execute(supersede, [entry.object_key])

    def rows(self) -> pa.Table:
        """Every entry, with the columns of `LEDGER_SCHEMA`, by load id."""
        entries = self._entries("order by load_id")
        return pa.Table.from_pylist([vars(entry) for entry in entries], schema=LEDGER_SCHEMA)

    def current(self, object_key: str) -> LedgerEntry | None:
        """The entry of a key that is not superseded."""
        found = self._entries(
            "where object_key = ? and status not in ('superseded', 'missing')", [object_key]
        )
        return found[0] if found else None

    def max_load_id(self) -> int:
        """The largest load id reserved so far, or 0."""
        with self._connect() as connection:
            return _scalar(connection, "select coalesce(max(load_id), 0) from reservations")

    def newest_settled(self, since_load_id: int) -> int | None:
        """The largest settled load id above this one."""
        sql = f"select max(load_id) from objects where load_id > ? and status in {SETTLED}"
        with self._connect() as connection:
            return connection.execute(sql, [since_load_id]).fetchone()[0]

    def needs_full_refresh(self, since_load_id: int) -> bool:
        """Tell whether a key loaded after `since_load_id` had been extracted before."""
        sql = """
            select exists (
                select 1 from objects as later
                join reservations as earlier
                    on earlier.object_key = later.object_key and earlier.load_id < later.load_id
                left join objects as outcome on outcome.load_id = earlier.load_id
                where later.load_id > ? and later.status != 'missing'
                    and coalesce(outcome.records_loaded, 1) > 0
            )
        """
        with self._connect() as connection:
            return bool(_scalar(connection, sql, [since_load_id]))

    def mark_published(self, load_id: int) -> None:
        """Remember that every load up to `load_id` is in the published version."""
        with self._connect() as connection, transaction(connection):
            connection.execute(
                "update marks set published_load_id = max(published_load_id, ?)", [load_id]
            )

    def published_load_id(self) -> int:
        """The largest that `mark_published` was told, or 0."""
        with self._connect() as connection:
            return _scalar(connection, "select published_load_id from marks")

    def replace_unknown(self, source: str, unknown: Sequence[UnknownObject]) -> None:
        """Make `unknown` the unknown objects of a source's landing folder."""
        with self._connect() as connection, transaction(connection):
            connection.execute("delete from unknown_objects where source = ?", [source])
            connection.executemany(
                "insert or replace into unknown_objects values (?, ?, ?)",
                [(source, found.object_key, found.reason) for found in unknown],
            )

    def unknown(self) -> list[UnknownObject]:
        """Unknown objects of every source, by key."""
        sql = "select object_key, reason from unknown_objects order by object_key"
        with self._connect() as connection:
            return [UnknownObject(*row) for row in connection.execute(sql)]

    def _is_recorded(self, connection: sqlite3.Connection, entry: LedgerEntry) -> bool:
        found = _entries(connection, "where load_id = ?", [entry.load_id])
        # It may have been superseded since.
        if found and replace(found[0], status=entry.status) != entry:
            raise LedgerError(
                f"Load {entry.load_id} of {entry.object_key} is in the object ledger already, with "
                "another outcome: run again, which takes a new load id."
            )
        return bool(found)

    def _entries(self, clause: str, values: Iterable[object] = ()) -> list[LedgerEntry]:
        with self._connect() as connection:
            return _entries(connection, clause, values)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            with open_file(self._path) as connection:
                _migrate(connection, self._path)
                yield connection
        except sqlite3.OperationalError as error:
            raise LedgerError(
                f"The object ledger {self._path} cannot be used: {file_fault(error)}"
            ) from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"The object ledger {self._path} is damaged ({error}): run `cdp doctor`, which can "
                "rebuild it from the raw files."
            ) from error


_COLUMNS: Final = ", ".join(field.name for field in fields(LedgerEntry))


def _entries(
    connection: sqlite3.Connection, clause: str, values: Iterable[object] = ()
) -> list[LedgerEntry]:
    found = connection.execute(f"select {_COLUMNS} from objects {clause}", list(values))
    names = [column[0] for column in found.description]
    dicts = [dict(zip(names, row, strict=True)) for row in found]
    return [
        LedgerEntry(**{**row, "loaded_at": datetime.fromisoformat(row["loaded_at"])})
        for row in dicts
    ]


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    versions = [_tables()]
    found = make_tables(connection, versions)
    if found > len(versions):
        raise LedgerError(
            f"The object ledger {path} was written by a newer release (schema {found}, this "
            f"release writes {len(versions)}): use that release, or run `cdp doctor`."
        )


def _tables() -> Iterator[str]:
    columns = ", ".join(
        f"{field.name} {'integer' if field.type == 'int' else 'text'} not null"
        for field in fields(LedgerEntry)
    )
    yield f"create table if not exists objects ({columns}, primary key (load_id))"
    yield "create index if not exists objects_by_key on objects (object_key, status)"
    yield """
        create table if not exists reservations (
            load_id integer primary key autoincrement,
            object_key text not null,
            object_version text not null
        )
    """
    yield "create index if not exists reservations_by_key on reservations (object_key, load_id)"
    yield "create table if not exists marks (published_load_id integer not null)"
    yield "insert into marks select 0 where not exists (select 1 from marks)"
    yield """
        create table if not exists unknown_objects (
            source text not null, object_key text primary key, reason text not null
        )
    """


def _scalar(connection: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> int:
    return connection.execute(sql, values).fetchone()[0]


def utc_now() -> datetime:
    """The time now, in UTC, without a zone, as the tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)
