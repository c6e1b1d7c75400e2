"""The warehouse on AWS: Iceberg tables of the Glue catalogue, asked and written through Athena.

Here: the class behind the `Warehouse` interface for profile=aws: statements, results as Arrow,
inputs as Parquet, several statements as one, publishing.
Not here: how SQL is spelled (`athena_sql.py`), the raw tables (`glue_tables.py`), dbt's statements.

Several statements are one by an undo log: before the first, the place of every table's current
Iceberg metadata is written down; when one fails, or when the process was killed and the next one
comes, the tables are set back to there, which touches no data. Publishing is the same in the other
direction: the published databases hold tables of their own that name the metadata of the version,
and views that read these tables.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Final

import boto3
import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cdp_assets.errors import PlatformError
from cdp_assets.failpoints import reach
from cdp_assets.naming import CLEANSED, IDENTITY, LAYERS, PROFILE, SOURCES
from cdp_assets.resources import athena_sql as spelling
from cdp_assets.resources.aws import aws_fault, kind_of, may_be_done
from cdp_assets.resources.glue_tables import GlueTables, arrow_columns
from cdp_assets.resources.object_store import ObjectMissingError, ObjectStore
from cdp_assets.resources.warehouse import (
    NothingPublishedError,
    RawTable,
    Reader,
    Statements,
    TableAddress,
)

# Athena itself needs about half a second for the least of queries.
_FIRST_POLL_SECONDS: Final = 0.05
_LONGEST_POLL_SECONDS: Final = 2.0
# A cancelled statement ends in a few seconds; a run that is stopped has no more than 30.
_STOP_SECONDS: Final = 15.0
_ENDED: Final = ("SUCCEEDED", "FAILED", "CANCELLED")
# Of a result, parsed at once; a row has to fit.
_BLOCK_BYTES: Final = 16 * 2**20
_CATALOG: Final = "AwsDataCatalog"
_UNDO_LOG: Final = "warehouse/undo-log.json"
_LAYERS_PUBLISHED: Final = (SOURCES, CLEANSED, IDENTITY, PROFILE)
# What another writer's commit in the same moment looks like: nothing was written, try again.
_CONFLICT: Final = "ICEBERG_COMMIT_ERROR"
_TRIES: Final = 4
_SESSION: Final = r"session_[0-9a-f]{12}"
# What dbt calls tables that it is still making, and those that it has replaced.
_SCRATCH: Final = re.compile(r"__dbt_tmp|__(bkp|ha|tmp_not_partitioned)$")


class AthenaError(PlatformError):
    """A statement failed on Athena; the message has its kind and id, and no value of a record."""


@dataclass(frozen=True)
class Swept:
    """What a sweep removed: tables of the catalogue, and files."""

    tables: int
    files: int


@dataclass(frozen=True)
class AthenaSettings:
    """Where a tenant's tables are.

    Attributes:
        tenant: prefix of its databases.
        region: of Athena, Glue and the bucket.
        work_group: that the statements run in; it limits the bytes a statement may scan.
        kms_key: id, ARN or alias of the key of what statements write; without one the work group's
            and the bucket's defaults hold.
    """

    tenant: str
    region: str
    work_group: str
    kms_key: str | None = None


class AthenaWarehouse:
    """A tenant's databases. Safe to make often: nothing is asked before the first statement.

    Args:
        settings: where the tables are.
        store: the lake, for results, inputs and the undo log.
    """

    def __init__(self, settings: AthenaSettings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        config = Config(retries={"mode": "standard", "max_attempts": 8})
        self._athena = boto3.client("athena", region_name=settings.region, config=config)
        self._glue = GlueTables(boto3.client("glue", region_name=settings.region, config=config))

    def database(self, layer: str) -> str:
        """The Glue database of a layer."""
        return f"{self._settings.tenant}_{layer}"

    def published_database(self, layer: str) -> str:
        """The Glue database whose tables are the published version of a layer."""
        return f"{self._settings.tenant}_published_{layer}"

    @contextmanager
    def session(self) -> Iterator[Statements]:
        """Run several statements in one place: temporary tables last until the block ends."""
        session = _Session(self, self.database)
        try:
            yield session
        finally:
            session.close()

    def query(self, sql: str, inputs: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """Run one SELECT and return its rows as Arrow; it may read `inputs` by name."""
        with self.session() as session:
            return session.query(sql, inputs)

    def execute(self, *statements: str, inputs: Mapping[str, pa.Table] | None = None) -> None:
        """Run statements of which all take effect, or none; they may read `inputs` by name."""
        with self.session() as session:
            session.execute(*statements, inputs=inputs)

    def replace_table(self, layer: str, name: str, rows: pa.Table) -> None:
        """Make `layer.name` hold exactly `rows`."""
        columns = ", ".join(f"{name} {kind}" for name, kind in arrow_columns(rows.schema))
        listed = ", ".join(rows.schema.names)
        self.execute(
            f"create table if not exists {layer}.{name} ({columns})",
            f"delete from {layer}.{name}",
            f"insert into {layer}.{name} select {listed} from incoming_rows",
            inputs={"incoming_rows": rows},
        )

    def expose_raw(self, tables: Sequence[RawTable]) -> None:
        """Make the files of each of these what its table in `sources` shows."""
        self._glue.ensure_database(self.database(SOURCES))
        for table in tables:
            self._glue.replace_projected(
                self.database(SOURCES), table.name, table.schema, table.url
            )

    def tables(self) -> dict[TableAddress, str]:
        """Every table and view with its kind, `BASE TABLE` or `VIEW`."""
        return {
            (layer, table["Name"]): "VIEW" if _is_view(table) else "BASE TABLE"
            for layer in LAYERS
            for table in self._glue.tables(self.database(layer))
        }

    def publish(self) -> None:
        """Make what is written now the version that readers see.

        Repeatable: a publish that was killed half way is whole after the next one.
        """
        databases = {
            self.database(layer): self.published_database(layer) for layer in _LAYERS_PUBLISHED
        }
        for database, published in databases.items():
            self._glue.ensure_database(published)
            current = {
                table["Name"]: table
                for table in self._glue.tables(database)
                # Of a killed run; `sweep` removes them.
                if not _SCRATCH.search(table["Name"])
            }
            for table in current.values():
                self._glue.put(published, _moved(table, databases))
            for table in self._glue.tables(published):
                if table["Name"] not in current:
                    self._glue.drop(published, table["Name"])

    def published_version(self) -> str:
        """A word for the version that readers see: of what its tables point at."""
        tables = [
            [layer, table["Name"], table.get("Parameters"), table.get("ViewOriginalText")]
            for layer in _LAYERS_PUBLISHED
            for table in self._glue.tables(self.published_database(layer))
        ]
        told = json.dumps(sorted(tables, key=str), sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest() if tables else ""

    @contextmanager
    def published(self) -> Iterator[Reader]:
        """Read the version that readers see; a publish meanwhile is seen by the next query.

        Raises:
            NothingPublishedError: nothing was published yet.
        """
        self._must_be_published()
        session = _Session(self, self.published_database)
        try:
            yield session
        finally:
            session.close()

    def copy_published(
        self, connection: duckdb.DuckDBPyConnection, is_wanted: Callable[[TableAddress], bool]
    ) -> None:
        """Download tables of the published version, whole, into a DuckDB file.

        Args:
            connection: of the file, open for writing.
            is_wanted: by layer and name; views are no tables.

        Raises:
            NothingPublishedError: nothing was published yet.
        """
        self._must_be_published()
        for layer in _LAYERS_PUBLISHED:
            connection.execute(f"create schema if not exists {layer}")
            database = self.published_database(layer)
            for table in self._glue.tables(database):
                name = table["Name"]
                if _is_view(table) or not is_wanted((layer, name)):
                    continue
                with self._result(f"select * from {database}.{name}") as (handle, columns):
                    rows = pacsv.open_csv(handle, **_csv_options(columns))
                    connection.register("rows_of_table", rows)
                    connection.execute(f"create table {layer}.{name} as from rows_of_table")
                    connection.unregister("rows_of_table")

    def _must_be_published(self) -> None:
        if not self._glue.tables(self.published_database(PROFILE)):
            raise NothingPublishedError("Nothing is published yet: launch a run.")

    def select(self, sql: str, database: str | None = None) -> pa.Table:
        """Run one SELECT of Athena's SQL; its rows as Arrow, by the columns' types.

        Read from the CSV that Athena leaves in S3, which keeps microseconds and tells NULL from an
        empty text; a Parquet UNLOAD does not have the first and is nothing when there are no rows.
        """
        with self._result(sql, database) as (handle, columns):
            return pacsv.read_csv(io.BytesIO(handle.read()), **_csv_options(columns))

    @contextmanager
    def _result(
        self, sql: str, database: str | None = None
    ) -> Iterator[tuple[BinaryIO, Sequence[Mapping[str, Any]]]]:
        """The CSV of a SELECT, open, and its columns; it is deleted when the block ends."""
        execution = self.run(sql, database)
        answer = self._ask("get_query_results", QueryExecutionId=execution["id"], MaxResults=1)
        key = self._key_of(execution["output"])
        try:
            with self._store.open_reader(key) as (_, handle):
                yield handle, answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        finally:
            for left in (key, f"{key}.metadata"):
                self._store.delete(left)

    def run(self, sql: str, database: str | None = None) -> dict[str, str]:
        """Run one statement to its end; its id and where its output lies.

        Raises:
            AthenaError: it failed, was cancelled, or another writer was always faster.
        """
        execution = self._run_once(sql, database)
        for attempt in range(1, _TRIES):
            if _CONFLICT not in execution["Reason"]:
                break
            time.sleep(_FIRST_POLL_SECONDS * 4**attempt)
            execution = self._run_once(sql, database)
        if execution["State"] == "SUCCEEDED":
            return {"id": execution["Id"], "output": execution["Output"]}
        raise AthenaError(
            f"Athena {execution['State'].lower()} the statement {execution['Id']}"
            f" ({sql.split(maxsplit=1)[0]}): {kind_of(execution['Reason'])}. Look at it in the"
            f" Athena console, work group {self._settings.work_group}."
        )

    def _run_once(self, sql: str, database: str | None) -> dict[str, str]:
        started = self._start(sql, database)
        try:
            execution = self._ended(started)
        except BaseException:
            # Also when the run is terminated: nobody waits for the statement, and it would cost.
            self._stop(started)
            raise
        return {
            "Id": started,
            "State": execution["Status"]["State"],
            "Reason": execution["Status"].get("StateChangeReason", ""),
            "Output": execution["ResultConfiguration"].get("OutputLocation", ""),
        }

    def _start(self, sql: str, database: str | None) -> str:
        asked = {
            "QueryString": sql,
            # A retry after a lost answer is the same statement to Athena, not a second one.
            "ClientRequestToken": uuid.uuid4().hex,
            "QueryExecutionContext": {
                "Catalog": _CATALOG,
                "Database": database or self.database(IDENTITY),
            },
            "ResultConfiguration": self._result_configuration(),
            "WorkGroup": self._settings.work_group,
        }
        try:
            return self._ask("start_query_execution", **asked)["QueryExecutionId"]
        except AthenaError as error:
            if not may_be_done(error.__cause__):
                raise
            # It may be running with nobody to wait for it, and would write what is undone by then.
            return self._ask("start_query_execution", **asked)["QueryExecutionId"]

    def _ended(self, started: str, seconds: float = float("inf")) -> Any:
        """A statement when it has ended, or after so many seconds."""
        until = time.monotonic() + seconds
        wait = _FIRST_POLL_SECONDS
        while True:
            answer = self._ask("get_query_execution", QueryExecutionId=started)
            execution = answer["QueryExecution"]
            if execution["Status"]["State"] in _ENDED or time.monotonic() > until:
                return execution
            time.sleep(wait)
            wait = min(wait * 1.5, _LONGEST_POLL_SECONDS)

    def _stop(self, started: str) -> None:
        """Cancel a statement and see it end: later it would write what was undone by then."""
        with suppress(AthenaError):
            self._ask("stop_query_execution", QueryExecutionId=started)
            self._ended(started, _STOP_SECONDS)

    def _ask(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._athena, operation)(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise AthenaError(
                f"{operation} on Athena's work group {self._settings.work_group} failed:"
                f" {aws_fault(error)}"
            ) from error

    def _result_configuration(self) -> Any:
        written: dict[str, Any] = {"OutputLocation": self._store.url("athena-results/")}
        if self._settings.kms_key:
            written["EncryptionConfiguration"] = {
                "EncryptionOption": "SSE_KMS",
                "KmsKey": self._settings.kms_key,
            }
        return written

    def begin(self, targets: Sequence[TableAddress]) -> None:
        """Undo what a killed process left, then write down where each of these tables stands."""
        self.undo()
        places = {
            f"{layer}.{name}": self._glue.metadata_location(self.database(layer), name)
            for layer, name in sorted(set(targets))
        }
        self._store.write(_UNDO_LOG, json.dumps(places).encode())

    def commit(self) -> None:
        """Keep what was written since `begin`."""
        self._store.delete(_UNDO_LOG)

    def undo(self) -> None:
        """Set the tables of an unfinished `begin` back; without one there is nothing to do."""
        try:
            places = json.loads(self._store.read(_UNDO_LOG))
        except ObjectMissingError:
            return
        for address, place in places.items():
            layer, name = address.split(".")
            self._glue.set_back(self.database(layer), name, place)
        self._store.delete(_UNDO_LOG)

    def sweep(self, older_than: timedelta) -> Swept:
        """Remove what killed runs and replaced tables left: nothing that a table still points at.

        Args:
            older_than: files and sessions younger than this may be at work; the published version
                of a table lives as long as the table of its database points at it.
        """
        before = datetime.now(UTC) - older_than
        sessions = [
            name
            for name in self._glue.databases(self.database("session_"))
            if re.fullmatch(_SESSION, name.removeprefix(self.database("")))
        ]
        databases = [
            *(self.database(layer) for layer in LAYERS),
            *(self.published_database(layer) for layer in LAYERS),
            *sessions,
        ]
        tables = [(name, table) for name in databases for table in self._glue.tables(name)]
        stale = [
            (name, table)
            for name, table in tables
            if name in sessions or _SCRATCH.search(table["Name"])
            if table["CreateTime"] < before
        ]
        for name, table in stale:
            self._glue.drop(name, table["Name"])
        for name in set(sessions) - {name for name, table in tables if (name, table) not in stale}:
            self._glue.drop_database(name)
        used = {
            self._key_of(place).strip("/")
            for item in tables
            if item not in stale
            for place in _places(item[1])
        }
        files = [
            item.key
            for folder in ("warehouse", "athena-sessions", "athena-results")
            for item in self._store.list(folder)
            if item.modified_at < before and item.key != _UNDO_LOG
            if not any(parent in used for parent in _parents(item.key))
        ]
        for key in files:
            self._store.delete(key)
        return Swept(tables=len(stale), files=len(files))

    def make_layers(self) -> None:
        """Make the databases of the layers."""
        for layer in LAYERS:
            self._glue.ensure_database(self.database(layer))

    def table_location(self, database: str, name: str) -> str:
        """A new folder for a table, of which no other table knows."""
        return self._store.url(f"warehouse/{database}/{name}/{uuid.uuid4().hex}")

    def open_session(self, database: str) -> None:
        """Make the database of a session."""
        self._glue.ensure_database(database)

    def put_input(self, database: str, name: str, rows: pa.Table) -> None:
        """Show rows to a session as a table."""
        folder = f"athena-sessions/{database}/{name}-{uuid.uuid4().hex}"
        with self._store.open_writer(f"{folder}/rows.parquet") as handle:
            pq.write_table(_whole_milliseconds(rows), handle, compression="zstd")
        self._glue.replace_external(database, name, rows.schema, self._store.url(folder))

    def close_session(self, database: str) -> None:
        """Drop what a session made, and its files."""
        for table in self._glue.tables(database):
            self._glue.drop(database, table["Name"])
        self._glue.drop_database(database)
        for folder in (f"athena-sessions/{database}", f"warehouse/{database}"):
            for item in self._store.list(folder):
                self._store.delete(item.key)

    def drop_in_session(self, database: str, name: str) -> None:
        """Drop a session's table, if there is one."""
        self._glue.drop(database, name)

    def _key_of(self, url: str) -> str:
        return url.removeprefix(self._store.url(""))


class _Session:
    """Statements of one session; its database is made with its first table.

    Args:
        warehouse: that runs them.
        database_of: a layer, which is how its tables are called.
    """

    def __init__(self, warehouse: AthenaWarehouse, database_of: Callable[[str], str]) -> None:
        self._warehouse = warehouse
        self._database_of = database_of
        self._database: str | None = None

    def query(self, sql: str, inputs: Mapping[str, pa.Table] | None = None) -> pa.Table:
        self._show(inputs)
        return self._warehouse.select(self._spelled(sql), self._database)

    def execute(self, *statements: str, inputs: Mapping[str, pa.Table] | None = None) -> None:
        self._show(inputs)
        targets = [target for target in map(spelling.target_of, statements) if target]
        # A single statement is one commit by itself, unless it replaces a table.
        if len(targets) < 2 and not any(map(spelling.replacing_select, statements)):
            for statement in statements:
                self._run(statement)
            return
        self._warehouse.begin(targets)
        try:
            for statement in statements:
                self._run(statement)
        except BaseException:
            self._warehouse.undo()
            raise
        reach("warehouse.before_commit")
        self._warehouse.commit()
        reach("warehouse.after_commit")

    def close(self) -> None:
        if self._database is not None:
            self._warehouse.close_session(self._database)

    def _run(self, statement: str) -> None:
        target = spelling.target_of(statement)
        table = target[1] if target else "table"
        reach(f"warehouse.{table}.before_statement")
        self._send(statement, target)
        reach(f"warehouse.{table}.after_statement")

    def _send(self, statement: str, target: TableAddress | None) -> None:
        kept, columns = spelling.kept_table(statement), spelling.created_columns(statement)
        select = spelling.replacing_select(statement)
        if target is not None and select is not None:
            self._replace(*target, self._spelled(select))
            return
        if kept is not None:
            name, select = kept
            location = self._warehouse.table_location(self._opened(), name)
            sql = spelling.iceberg_table_as(name, self._spelled(select), location)
        elif columns is not None and target is not None:
            database, name = self._warehouse.database(target[0]), target[1]
            location = self._warehouse.table_location(database, name)
            self._warehouse.make_layers()
            sql = spelling.iceberg_table(f"{database}.{name}", columns, location)
        elif statement.startswith("drop table if exists "):
            self._warehouse.drop_in_session(self._opened(), statement.split()[-1])
            return
        else:
            sql = self._spelled(statement)
        self._warehouse.run(sql, self._database)

    def _replace(self, layer: str, name: str, select: str) -> None:
        """Make a table hold the rows of a SELECT that does not read it."""
        address = f"{self._warehouse.database(layer)}.{name}"
        if (layer, name) in self._warehouse.tables():
            self._warehouse.run(f"delete from {address}", self._database)
            self._warehouse.run(f"insert into {address} {select}", self._database)
        else:
            self._warehouse.make_layers()
            location = self._warehouse.table_location(self._warehouse.database(layer), name)
            created = spelling.iceberg_table_as(address, select, location)
            self._warehouse.run(created, self._database)

    def _spelled(self, sql: str) -> str:
        return spelling.with_databases(spelling.with_hashes(sql), self._database_of)

    def _show(self, inputs: Mapping[str, pa.Table] | None) -> None:
        for name, rows in (inputs or {}).items():
            self._warehouse.put_input(self._opened(), name, rows)

    def _opened(self) -> str:
        if self._database is None:
            self._database = self._warehouse.database(f"session_{uuid.uuid4().hex[:12]}")
            self._warehouse.open_session(self._database)
        return self._database


def _is_view(table: Mapping[str, Any]) -> bool:
    return table.get("TableType") == "VIRTUAL_VIEW"


def _moved(table: Mapping[str, Any], databases: Mapping[str, str]) -> dict[str, Any]:
    """A table as the published databases have it: a view reads the tables of these."""
    if not _is_view(table):
        return dict(table)
    text = spelling.view_of_databases(table["ViewOriginalText"], databases)
    return {**table, "ViewOriginalText": text}


def _places(table: Mapping[str, Any]) -> Iterator[str]:
    """Where the files of a table are: of an Iceberg table, what its current metadata is among."""
    yield table.get("StorageDescriptor", {}).get("Location", "")
    metadata = table.get("Parameters", {}).get("metadata_location")
    if metadata:
        yield metadata.rpartition("/metadata/")[0]


def _parents(key: str) -> Iterator[str]:
    while key := key.rpartition("/")[0]:
        yield key


def _whole_milliseconds(rows: pa.Table) -> pa.Table:
    """Times as Athena reads them from files that are not Iceberg: to the millisecond."""
    fields = [
        pa.field(field.name, pa.timestamp("ms")) if pa.types.is_timestamp(field.type) else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields), safe=False)


_ARROW_TYPES: Final[Mapping[str, pa.DataType]] = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "real": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


def _arrow_type(column: Mapping[str, Any]) -> pa.DataType:
    if column["Type"] == "decimal":
        return pa.decimal128(column["Precision"], column["Scale"])
    return _ARROW_TYPES.get(column["Type"], pa.string())


def _csv_options(columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How to read Athena's result file: every value in quotes, NULL as nothing at all."""
    names = [column["Name"] for column in columns]
    types = {column["Name"]: _arrow_type(column) for column in columns}
    return {
        "read_options": pacsv.ReadOptions(column_names=names, skip_rows=1, block_size=_BLOCK_BYTES),
        "parse_options": pacsv.ParseOptions(newlines_in_values=True),
        "convert_options": pacsv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    }
