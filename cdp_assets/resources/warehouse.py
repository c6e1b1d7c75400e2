"""The warehouse: where tables live.

Here: the interface that Python stages use, and its DuckDB class.
Belongs here: opening, reading, writing and publishing tables; the SQL of one stage does not.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import duckdb
import pyarrow as pa

from cdp_assets.errors import PlatformError, disk_fault
from cdp_assets.failpoints import reach
from cdp_assets.naming import LAYERS, SOURCES
from cdp_assets.resources.confinement import confine
from cdp_assets.resources.sql_errors import told

# Layer and name.
TableAddress = tuple[str, str]

# What several statements of one `execute` share, whichever tables they write: whoever runs some
# holds its lease beside those of the tables. It is where Athena writes down how to undo them.
TRANSACTIONS: Final[TableAddress] = ("warehouse", "transactions")

# Functions of Trino that SQL for both engines uses and DuckDB calls otherwise.
_TRINO_WORDS: Final = (
    "to_utf8(text) as encode(text)",
    "array_join(items, separator) as array_to_string(items, separator)",
)
# What DuckDB says of a file that another process holds, and of one that is damaged or gone.
_IN_USE: Final = "Could not set lock"
_DAMAGED: Final = (
    "Corrupt database file",
    "Could not read enough bytes",
    "No files found",
    "No magic bytes",
    "not a valid DuckDB database file",
    "too small to be a Parquet file",
)
_OF_THE_FILE: Final = (duckdb.IOException, duckdb.FatalException)
# What statements of a session say on both engines; `athena_sql.py` has the words of the other.
_SESSION_WORD: Final = "sha256_hex(text) as sha256(text)"


class WarehouseError(PlatformError):
    """A DuckDB file cannot be read or written; the message names it and what to do."""


class NothingPublishedError(PlatformError):
    """There is no published version to read."""


class StatementError(PlatformError):
    """A statement failed; the message says how, and repeats no value of a row."""


@dataclass(frozen=True)
class RawTable:
    """The raw files of a source entity, to be seen as a table.

    Attributes:
        name: in the layer `sources`.
        schema: of the files, without the landing day `dt`, which their folders name.
        url: folder of the folders dt=YYYY-MM-DD.
    """

    name: str
    schema: pa.Schema
    url: str


class Reader(Protocol):
    """Where queries run, in the words that both engines know: Trino's (`_TRINO_WORDS`).

    What a query is about is a row of an input, and no part of its text: Athena remembers texts. On
    Athena a query takes a second or two whatever it asks: one for several things beats several.
    """

    def query(self, sql: str, inputs: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """Run one SELECT and return its rows as Arrow; it may read `inputs` by name."""
        ...


class Statements(Reader, Protocol):
    """Where statements run."""

    def execute(self, *statements: str, inputs: Mapping[str, pa.Table] | None = None) -> None:
        """Run statements as one transaction: all of them take effect, or none.

        They may read `inputs` by name, as if these were tables.
        """
        ...


class Warehouse(Statements, Protocol):
    """What a Python stage may ask of a warehouse, whichever engine it is."""

    def session(self) -> AbstractContextManager[Statements]:
        """Run several statements in one place: temporary tables last until the block ends."""
        ...

    def replace_table(self, layer: str, name: str, rows: pa.Table) -> None:
        """Make `layer.name` hold exactly `rows`; readers see the old table or the new one."""
        ...

    def expose_raw(self, tables: Sequence[RawTable]) -> None:
        """Make the files of each of these what its table in `sources` shows."""
        ...

    def tables(self) -> dict[TableAddress, str]:
        """Every table and view of the layers with its kind, `BASE TABLE` or `VIEW`."""
        ...

    def publish(self) -> None:
        """Make what is written now the version that readers see."""
        ...

    def published_version(self) -> str:
        """A word for the version that readers see, which no other has; nothing if there is none."""
        ...

    def published(self) -> AbstractContextManager[Reader]:
        """Read the version that readers see.

        Raises:
            NothingPublishedError: nothing was published yet.
        """
        ...


class DuckDBWarehouse:
    """One DuckDB file. A single process may hold it open, so each call opens and closes it.

    Args:
        path: the file that runs write.
        published_path: the copy that readers open.
        memory_limit: DuckDB's own limit, for example `4GB`.
        raw_folder: the only folder that SQL may read files from; None for none.
    """

    def __init__(
        self, path: Path, published_path: Path, memory_limit: str, raw_folder: Path | None = None
    ) -> None:
        self._path = path
        self._published_path = published_path
        self._memory_limit = memory_limit
        self._raw_folder = raw_folder

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file for writing, with the layers' schemas in place and time in UTC."""
        with _told(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with open_duckdb(self._path) as connection:
            # Set, not passed on opening: dbt may hold the file open in this very process.
            connection.execute(f"set memory_limit = '{self._memory_limit}'")
            connection.execute("set preserve_insertion_order = false")
            connection.execute("set TimeZone = 'UTC'")
            confine(connection, self._raw_folder)
            for layer in LAYERS:
                connection.execute(f"create schema if not exists {layer}")
            yield connection

    @contextmanager
    def session(self) -> Iterator[Statements]:
        """Run several statements in one place: temporary tables last until the block ends."""
        with self.connect() as connection:
            connection.execute(f"create temporary macro {_SESSION_WORD}")
            yield _DuckDBSession(connection)

    def query(self, sql: str, inputs: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """Run one SELECT and return its rows as Arrow; it may read `inputs` by name."""
        with self.session() as session:
            return session.query(sql, inputs)

    def execute(self, *statements: str, inputs: Mapping[str, pa.Table] | None = None) -> None:
        """Run statements as one transaction: all of them take effect, or none.

        They may read `inputs` by name, as if these were tables.
        """
        with self.session() as session:
            session.execute(*statements, inputs=inputs)

    def replace_table(self, layer: str, name: str, rows: pa.Table) -> None:
        """Make `layer.name` hold exactly `rows`; readers see the old table or the new one."""
        self.execute(
            f"create or replace table {layer}.{name} as select * from incoming_rows",
            inputs={"incoming_rows": rows},
        )

    def expose_raw(self, tables: Sequence[RawTable]) -> None:
        """Make the files of each of these what its view in `sources` shows."""
        self.execute(
            *(
                f"create or replace view {SOURCES}.{table.name} as {raw_select(table)}"
                for table in tables
            )
        )

    def tables(self) -> dict[TableAddress, str]:
        """Every table and view of the layers with its kind, `BASE TABLE` or `VIEW`."""
        rows = self.query(
            "select table_schema, table_name, table_type from information_schema.tables"
        )
        return {
            (row["table_schema"], row["table_name"]): row["table_type"]
            for row in rows.to_pylist()
            if row["table_schema"] in LAYERS
        }

    def publish(self) -> None:
        """Copy the file beside the published one, then swap it in by rename.

        A reader that has the old version open keeps it; a killed copy leaves only a temporary
        file, which the next publish overwrites.
        """
        with self.connect() as connection:
            connection.execute("checkpoint")
        incoming = self._published_path.with_suffix(".incoming")
        try:
            with _told(incoming):
                shutil.copyfile(self._path, incoming)
                reach("publish.mid_write")
                with incoming.open("rb") as handle:
                    os.fsync(handle.fileno())
                reach("publish.before_commit")
                incoming.replace(self._published_path)
        except BaseException:
            # On a full disk it would be in the way of what could make room.
            with suppress(OSError):
                incoming.unlink(missing_ok=True)
            raise

    def published_version(self) -> str:
        """A word for the version that readers see, or nothing: each is a file of its own."""
        try:
            found = self._published_path.stat()
        except FileNotFoundError:
            return ""
        return f"{found.st_mtime_ns}-{found.st_size}"

    @contextmanager
    def published(self) -> Iterator[Reader]:
        """Read the version that readers see, until the block ends the same one.

        Raises:
            NothingPublishedError: nothing was published yet.
        """
        with self.read_published() as connection:
            yield _DuckDBSession(connection)

    @contextmanager
    def read_published(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the published version read-only, for what only DuckDB can do.

        Raises:
            NothingPublishedError: nothing was published yet.
        """
        if not self._published_path.exists():
            raise NothingPublishedError("Nothing is published yet: run `cdp demo` or launch a run.")
        with open_duckdb(self._published_path, read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            confine(connection, self._raw_folder)
            for word in _TRINO_WORDS:
                connection.execute(f"create temporary macro {word}")
            yield connection


@contextmanager
def open_duckdb(path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file of the platform's own until the block ends.

    Raises:
        WarehouseError: it, or a file that a query reads, is damaged or in use elsewhere. Other
            errors of a query stay what they are.
    """
    with _told(path), duckdb.connect(str(path), read_only=read_only) as connection:
        yield connection


def raw_select(table: RawTable) -> str:
    """SELECT over every raw file of an entity (DuckDB)."""
    url = f"{table.url}/dt=*/*.parquet".replace("'", "''")
    return f"""
        select {", ".join(table.schema.names)}, dt
        from read_parquet(
            '{url}',
            hive_partitioning = true, hive_types = {{'dt': date}}, union_by_name = true
        )
    """


class _DuckDBSession:
    """Statements on one open connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def query(self, sql: str, inputs: Mapping[str, pa.Table] | None = None) -> pa.Table:
        self._register(inputs)
        with _values_kept_back():
            return self._connection.sql(sql).to_arrow_table()

    def execute(self, *statements: str, inputs: Mapping[str, pa.Table] | None = None) -> None:
        self._register(inputs)
        with _values_kept_back(), _transaction(self._connection):
            for statement in statements:
                reach("warehouse.before_statement")
                self._connection.execute(statement)
                reach("warehouse.after_statement")

    def _register(self, inputs: Mapping[str, pa.Table] | None) -> None:
        for name, rows in (inputs or {}).items():
            self._connection.register(name, rows)


def text_constant(value: str) -> str:
    """A text as a constant of SQL, for what an engine has to know while it plans a query."""
    return "'" + value.replace("'", "''") + "'"


def whole_milliseconds(at: datetime) -> datetime:
    """A time as both engines keep it: Athena reads inputs and raw files to the millisecond."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what DuckDB or the disk says of a file into an error of ours."""
    try:
        yield
    except duckdb.Error as error:
        # Its first line: what follows repeats the statement.
        said = str(error).partition("\n")[0]
        if _IN_USE in said:
            raise WarehouseError(
                f"{path} is open in another process: let that end, or read published.duckdb beside "
                "it, which nobody locks."
            ) from error
        if any(sign in said for sign in _DAMAGED):
            raise WarehouseError(f"{path} cannot be read ({said}): run `cdp doctor`.") from error
        if isinstance(error, _OF_THE_FILE):
            raise WarehouseError(
                f"{path} cannot be used: {said}. Mend that, then run again."
            ) from error
        raise
    except OSError as error:
        raise WarehouseError(f"{path} cannot be used: {disk_fault(error)}") from error


@contextmanager
def _values_kept_back() -> Iterator[None]:
    """Tell of an error of a statement without the values that its text repeats."""
    try:
        yield
    except duckdb.Error as error:
        if isinstance(error, _OF_THE_FILE) or any(sign in str(error) for sign in _DAMAGED):
            # `_told` tells those.
            raise
        # Not as its cause: whoever logs this one would log that one, too.
        raise StatementError(f"The warehouse refused a statement: {told(error)}") from None


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    reach("warehouse.before_commit")
    connection.execute("commit")
    reach("warehouse.after_commit")
