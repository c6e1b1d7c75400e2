"""What Glue says of databases and tables, and the objects behind them.

Here: reading and writing Glue, Iceberg tables (PyIceberg, real snapshots), external tables over
Parquet and CSV, a local copy of each object. Not here: SQL (`translate`, `engine`).

Objects are fetched once: those of Iceberg are never written twice under one name, all others are
known by their ETag.
"""

# boto3 answers with all keys that are read here; its types call them optional.
# pyright: reportTypedDictNotRequiredAccess=false

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import ClientError
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, ValidationException
from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.table import CommitTableResponse, StaticTable, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.transforms import parse_transform

from tests.athena_local.errors import AthenaFailure, not_here
from tests.athena_local.serdes import read_delimited, read_open_csv

# Athena writes at most to so many partitions in one statement.
OPEN_PARTITIONS: Final = 100
# What Hive calls the partition of the rows that have no value.
NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


def split_url(url: str) -> tuple[str, str]:
    """Bucket and key of an s3:// address."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


class Objects:
    """S3, with a local copy of what was read.

    Args:
        client: boto3's S3 client.
        folder: of the copies.
    """

    def __init__(self, client: Any, folder: Path) -> None:
        self.client = client
        self.folder = folder

    def immutable(self, url: str) -> Path:
        """The local copy of an object that is never written again."""
        path = self.folder / "iceberg" / hashlib.sha1(url.encode()).hexdigest()
        if not path.exists():
            self._fetch(url, path)
        return path

    def versioned(self, url: str, etag: str, folder: str = "") -> Path:
        """The local copy of one version of an object, in a subfolder of that name."""
        name = hashlib.sha1(f"{url}\n{etag}".encode()).hexdigest()
        path = self.folder / "external" / folder / f"{name}.parquet"
        if not path.exists():
            self._fetch(url, path)
        return path

    def put(self, url: str, content: bytes, *, is_immutable: bool = False) -> None:
        """Write an object."""
        bucket, key = split_url(url)
        self.client.put_object(Bucket=bucket, Key=key, Body=content)
        if is_immutable:
            path = self.folder / "iceberg" / hashlib.sha1(url.encode()).hexdigest()
            _swap_in(path, content)

    def list(self, url: str) -> Iterator[tuple[str, str, int]]:
        """Address, ETag and size of each object below a folder; hidden ones left out."""
        bucket, prefix = split_url(url.rstrip("/") + "/")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", []):
                name = item["Key"].rpartition("/")[2]
                if item["Size"] and not name.startswith(("_", ".")):
                    yield f"s3://{bucket}/{item['Key']}", item["ETag"].strip('"'), item["Size"]

    def delete_folder(self, url: str) -> None:
        """Remove every object below a folder."""
        bucket, prefix = split_url(url.rstrip("/") + "/")
        listed = self.client.list_objects_v2(Bucket=bucket, Prefix=prefix)
        while contents := listed.get("Contents"):
            self.client.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": item["Key"]} for item in contents]}
            )
            listed = self.client.list_objects_v2(Bucket=bucket, Prefix=prefix)

    def _fetch(self, url: str, path: Path) -> None:
        bucket, key = split_url(url)
        try:
            content = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise FileNotFoundError(url) from error
        _swap_in(path, content)


def _swap_in(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(uuid.uuid4().hex)
    scratch.write_bytes(content)
    scratch.replace(path)


class _Input(InputFile):
    def __init__(self, location: str, objects: Objects) -> None:
        super().__init__(location)
        self._objects = objects

    def __len__(self) -> int:
        return self._objects.immutable(self.location).stat().st_size

    def exists(self) -> bool:
        try:
            self._objects.immutable(self.location)
        except FileNotFoundError:
            return False
        return True

    def open(self, seekable: bool = True) -> InputStream:
        return self._objects.immutable(self.location).open("rb")  # pyright: ignore[reportReturnType]


class _Buffer(io.BytesIO):
    """What is written goes to S3 when it is closed."""

    def __init__(self, location: str, objects: Objects) -> None:
        super().__init__()
        self._location = location
        self._objects = objects

    def close(self) -> None:
        if not self.closed:
            self._objects.put(self._location, self.getvalue(), is_immutable=True)
        super().close()


class _Output(OutputFile):
    def __init__(self, location: str, objects: Objects) -> None:
        super().__init__(location)
        self._objects = objects

    def __len__(self) -> int:
        return len(self.to_input_file())

    def exists(self) -> bool:
        return False

    def to_input_file(self) -> InputFile:
        return _Input(self.location, self._objects)

    def create(self, overwrite: bool = False) -> OutputStream:
        return _Buffer(self.location, self._objects)  # pyright: ignore[reportReturnType]


class CachedIO(FileIO):
    """PyIceberg's files through `Objects`, which are a property of the catalog."""

    def __init__(self, properties: Any) -> None:
        super().__init__(properties)
        self._objects: Objects = properties["objects"]

    def new_input(self, location: str) -> InputFile:
        return _Input(location, self._objects)

    def new_output(self, location: str) -> OutputFile:
        return _Output(location, self._objects)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        url = location if isinstance(location, str) else location.location
        bucket, key = split_url(url)
        self._objects.client.delete_object(Bucket=bucket, Key=key)


class _Versioned(GlueCatalog):
    """Glue refuses an update that was made of an older version; moto takes no notice of it."""

    _turn = threading.Lock()

    def commit_table(
        self,
        table: Table,
        requirements: tuple[TableRequirement, ...],
        updates: tuple[TableUpdate, ...],
    ) -> CommitTableResponse:
        # Within one turn nothing comes between PyIceberg's look at the table and its update.
        with self._turn:
            return super().commit_table(table, requirements, updates)


@dataclass(frozen=True)
class View:
    """An Athena view: its text, and the database that its short names belong to."""

    sql: str
    database: str


@dataclass(frozen=True)
class Files:
    """Data for one scan.

    Attributes:
        key: another content gives another key.
        select: DuckDB's SELECT over local files.
        size: bytes on S3.
    """

    key: str
    select: str
    size: int


@dataclass
class Catalog:
    """The catalog `awsdatacatalog` of one account.

    Args:
        endpoint: of moto.
        region: of everything.
        folder: for local copies.
    """

    endpoint: str
    region: str
    folder: Path
    objects: Objects = field(init=False)
    glue: Any = field(init=False)
    iceberg: GlueCatalog = field(init=False)
    _plans: dict[str, Files] = field(init=False, default_factory=dict)
    _io: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        config = Config(max_pool_connections=32)
        # Moto takes any credentials; this server must not look for real ones.
        session = boto3.Session("test", "test", region_name=self.region)
        s3 = session.client("s3", endpoint_url=self.endpoint, config=config)
        self.objects = Objects(s3, self.folder)
        self.glue = session.client("glue", endpoint_url=self.endpoint, config=config)
        self._io = {"py-io-impl": f"{CachedIO.__module__}.CachedIO", "objects": self.objects}
        self.iceberg = _Versioned("glue", self.glue, **self._io)

    # --- Glue ---

    def describe(self, database: str, name: str) -> dict[str, Any] | None:
        """Glue's description of a table or view; None where there is none."""
        try:
            return self.glue.get_table(DatabaseName=database, Name=name)["Table"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "EntityNotFoundException":
                return None
            raise

    def has_database(self, database: str) -> bool:
        """Whether Glue has a database of this name."""
        try:
            self.glue.get_database(Name=database)
        except ClientError as error:
            if error.response["Error"]["Code"] == "EntityNotFoundException":
                return False
            raise
        return True

    def must_describe(self, database: str, name: str, place: str = "line 1:1") -> dict[str, Any]:
        """Glue's description of a table or view.

        Raises:
            AthenaFailure: there is none, in Athena's words.
        """
        described = self.describe(database, name)
        if described is not None:
            return described
        if not self.has_database(database):
            raise AthenaFailure("SCHEMA_NOT_FOUND", f"{place}: Schema '{database}' does not exist")
        raise AthenaFailure(
            "TABLE_NOT_FOUND", f"{place}: Table 'awsdatacatalog.{database}.{name}' does not exist"
        )

    def source(self, described: Mapping[str, Any]) -> View | Files:
        """What stands behind a table or view."""
        if described.get("TableType") == "VIRTUAL_VIEW":
            return decode_view(described)
        if is_iceberg(described):
            return self._iceberg_files(described)
        return self._external_files(described)

    # --- Iceberg ---

    def load(self, described: Mapping[str, Any]) -> Table:
        """An Iceberg table as it is now, to commit to."""
        return self.iceberg.load_table((described["DatabaseName"], described["Name"]))

    def read(self, described: Mapping[str, Any]) -> StaticTable:
        """An Iceberg table at the version that Glue's answer names."""
        return StaticTable.from_metadata(described["Parameters"]["metadata_location"], self._io)

    def _iceberg_files(self, described: Mapping[str, Any]) -> Files:
        location = described["Parameters"]["metadata_location"]
        plan = self._plans.get(location)
        if plan is None:
            plan = self._plans[location] = self._plan(self.read(described), location)
        return plan

    def _plan(self, table: StaticTable, location: str) -> Files:
        tasks = list(table.scan().plan_files()) if table.current_snapshot() else []
        if any(task.delete_files for task in tasks):
            raise not_here("tables with delete files")
        columns = [
            (one.field_id, one.name, duck_type(str(one.field_type)))
            for one in table.schema().fields
        ]
        if not tasks:
            nothing = ", ".join(f'cast(null as {kind}) as "{name}"' for _, name, kind in columns)
            return Files(location, f"select {nothing} where false", 0)
        paths = ", ".join(f"'{self.objects.immutable(task.file.file_path)}'" for task in tasks)
        fields = ", ".join(
            f"{number}: {{name: '{name}', type: '{kind}', default_value: null}}"
            for number, name, kind in columns
        )
        return Files(
            location,
            f"select * from read_parquet([{paths}], schema = map {{{fields}}})",
            sum(task.file.file_size_in_bytes for task in tasks),
        )

    def create_iceberg(
        self,
        database: str,
        name: str,
        rows: pa.Table,
        location: str,
        partitioning: Sequence[str],
        properties: Mapping[str, str],
    ) -> None:
        """CREATE TABLE (AS SELECT): the table and its rows in one commit."""
        if self.describe(database, name) is not None:
            raise AthenaFailure(
                "TABLE_ALREADY_EXISTS",
                f"line 1:1: Table 'awsdatacatalog.{database}.{name}' already exists",
            )
        if not self.has_database(database):
            raise AthenaFailure("SCHEMA_NOT_FOUND", f"line 1:1: Schema '{database}' does not exist")
        if not location:
            raise AthenaFailure(
                "INVALID_TABLE_PROPERTY", "Table location must be given for an Iceberg table"
            )
        if next(self.objects.list(location), None):
            raise AthenaFailure(
                "ICEBERG_FILESYSTEM_ERROR",
                f"Cannot create a table on a non-empty location: {location}",
            )
        with self.iceberg.create_table_transaction(
            (database, name), rows.schema, location.rstrip("/"), properties=dict(properties)
        ) as transaction:
            with transaction.update_spec() as spec:
                for text in partitioning:
                    spec.add_field(*partition_field(text))
            check_partitions(rows, transaction.table_metadata)
            if len(rows):
                transaction.append(rows)

    def append(self, described: Mapping[str, Any], rows: pa.Table) -> None:
        """INSERT: one more snapshot."""
        table = self.load(described)
        check_partitions(rows, table.metadata)
        with _committing(table):
            table.append(rows.cast(table.schema().as_arrow()))

    def overwrite(
        self, described: Mapping[str, Any], rows: pa.Table, written: Callable[[], pa.Table]
    ) -> None:
        """UPDATE, DELETE and MERGE: every file written anew (copy on write).

        Args:
            described: the table.
            rows: all that it has now.
            written: gives those of them that Athena would write.
        """
        table = self.load(described)
        if table.metadata_location != described["Parameters"]["metadata_location"]:
            # The rows were made of an older version: those that came since would be lost.
            raise _lost_race(table)
        if table.spec().fields:
            check_partitions(written(), table.metadata)
        is_empty = self._iceberg_files(described).size == 0
        with _committing(table):
            if is_empty:
                table.append(rows.cast(table.schema().as_arrow()))
            elif len(rows):
                table.overwrite(rows.cast(table.schema().as_arrow()))
            else:
                table.delete()

    def drop(self, described: Mapping[str, Any]) -> None:
        """DROP TABLE: an Iceberg table loses its objects, an external one keeps them."""
        self.glue.delete_table(DatabaseName=described["DatabaseName"], Name=described["Name"])
        if is_iceberg(described):
            self.objects.delete_folder(described["StorageDescriptor"]["Location"])

    # --- external ---

    def _external_files(self, described: Mapping[str, Any]) -> Files:
        storage = described["StorageDescriptor"]
        serde = storage.get("SerdeInfo", {}).get("SerializationLibrary", "")
        found = sorted(self._objects_of(described))
        key = hashlib.sha1(
            repr((described["Name"], storage["Columns"], found)).encode()
        ).hexdigest()
        if key not in self._plans:
            self._plans[key] = self._external_plan(described, serde, found, key)
        return self._plans[key]

    def _external_plan(
        self,
        described: Mapping[str, Any],
        serde: str,
        found: list[tuple[str, str, int, tuple[tuple[str, str], ...]]],
        key: str,
    ) -> Files:
        columns = [(one["Name"], one["Type"]) for one in described["StorageDescriptor"]["Columns"]]
        partitions = [(one["Name"], one["Type"]) for one in described.get("PartitionKeys", [])]
        everything = [*columns, *partitions]
        if not found:
            nothing = ", ".join(
                f'cast(null as {external_type(kind)}) as "{name}"' for name, kind in everything
            )
            return Files(key, f"select {nothing} where false", 0)
        paths, there = [], set()
        for url, etag, _, values in found:
            folder = "/".join(f"{name}={quote(value, ' ')}" for name, value in values)
            path = self.objects.versioned(url, etag, folder)
            if "parquet" not in serde.lower():
                path = self._as_parquet(described, path, [name for name, _ in columns])
            there |= {name.lower() for name in pq.read_schema(path).names}
            paths.append(f"'{path}'")
        there |= {name for name, _ in partitions}
        is_lenient = serde.endswith("LazySimpleSerDe")
        selected = ", ".join(
            f'{external_read(name, kind, is_lenient)} as "{name}"'
            if name.lower() in there
            else f'cast(null as {external_type(kind)}) as "{name}"'
            for name, kind in everything
        )
        kinds = ", ".join(f"'{name}': '{external_type(kind)}'" for name, kind in partitions)
        hive = f", hive_partitioning = true, hive_types = {{{kinds}}}" if partitions else ""
        return Files(
            key,
            f"select {selected} from read_parquet([{', '.join(paths)}], union_by_name = true"
            f"{hive or ', hive_partitioning = false'})",
            sum(size for _, _, size, _ in found),
        )

    def _as_parquet(self, described: Mapping[str, Any], path: Path, names: list[str]) -> Path:
        """A text file as Parquet, read as its SerDe reads it."""
        made = path.with_suffix(".rows.parquet")
        if not made.exists():
            storage = described["StorageDescriptor"]
            serde = storage["SerdeInfo"]
            options = {**serde.get("Parameters", {}), **described.get("Parameters", {})}
            text = path.read_text(encoding="utf-8")
            skip = int(options.get("skip.header.line.count", "0"))
            if serde["SerializationLibrary"].endswith("OpenCSVSerde"):
                rows = read_open_csv(text, len(names), skip, options)
            elif serde["SerializationLibrary"].endswith("LazySimpleSerDe"):
                rows = read_delimited(text, len(names), skip, options)
            else:
                raise not_here(f"tables of {serde['SerializationLibrary']}")
            columns = [pa.array([row[n] for row in rows], pa.string()) for n in range(len(names))]
            scratch = made.with_name(uuid.uuid4().hex)
            pq.write_table(pa.table(columns, names=names), scratch)
            shutil.move(scratch, made)
        return made

    def _objects_of(
        self, described: Mapping[str, Any]
    ) -> Iterator[tuple[str, str, int, tuple[tuple[str, str], ...]]]:
        """Address, ETag, size and partition values of each object of a table."""
        location = described["StorageDescriptor"]["Location"]
        names = [one["Name"] for one in described.get("PartitionKeys", [])]
        parameters = described.get("Parameters", {})
        if not names:
            for url, etag, size in self.objects.list(location):
                yield url, etag, size, ()
        elif parameters.get("projection.enabled", "").lower() == "true":
            yield from self._projected(location, names, parameters)
        else:
            pages = self.glue.get_paginator("get_partitions").paginate(
                DatabaseName=described["DatabaseName"], TableName=described["Name"]
            )
            for page in pages:
                for partition in page["Partitions"]:
                    values = tuple(zip(names, partition["Values"], strict=True))
                    place = partition["StorageDescriptor"]["Location"]
                    for url, etag, size in self.objects.list(place):
                        yield url, etag, size, values

    def _projected(
        self, location: str, names: list[str], parameters: Mapping[str, str]
    ) -> Iterator[tuple[str, str, int, tuple[tuple[str, str], ...]]]:
        template = parameters.get("storage.location.template") or location.rstrip("/") + "".join(
            f"/{name}=${{{name}}}" for name in names
        )
        root = template.partition("${")[0].rpartition("/")[0]
        shape = re.sub(r"\\\$\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template.rstrip("/")))
        pattern = re.compile(f"{shape}/[^/]+")
        allowed = {name: projection(name, parameters) for name in names}
        for url, etag, size in self.objects.list(root):
            match = pattern.fullmatch(unquote(url))
            if match and all(allowed[name](match[name]) for name in names):
                yield url, etag, size, tuple((name, match[name]) for name in names)


_LOST_RACES: Final = (CommitFailedException, NoSuchTableError, ValidationException)


def _lost_race(table: Table) -> AthenaFailure:
    name = ".".join(table.name())
    return AthenaFailure(
        "ICEBERG_COMMIT_ERROR", f"Failed to commit Iceberg update to table: {name}"
    )


class _committing:  # noqa: N801 (reads as a verb where it is used)
    """A lost race for a table, in Athena's words."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None and issubclass(kind, _LOST_RACES):
            raise _lost_race(self._table) from None


def is_iceberg(described: Mapping[str, Any]) -> bool:
    """Whether Glue's parameters call a table Iceberg."""
    return described.get("Parameters", {}).get("table_type", "").lower() == "iceberg"


def decode_view(described: Mapping[str, Any]) -> View:
    """The text within the comment in which Presto keeps it."""
    encoded = described["ViewOriginalText"].removeprefix("/* Presto View: ").removesuffix(" */")
    content = json.loads(base64.b64decode(encoded))
    return View(content["originalSql"], content["schema"])


def encode_view(sql: str, database: str, columns: Sequence[tuple[str, str]]) -> str:
    """The comment in which Presto keeps a view."""
    content = {
        "originalSql": sql,
        "catalog": "awsdatacatalog",
        "schema": database,
        "columns": [{"name": name, "type": kind} for name, kind in columns],
    }
    return f"/* Presto View: {base64.b64encode(json.dumps(content).encode()).decode()} */"


def duck_type(kind: str) -> str:
    """DuckDB's name of an Iceberg type."""
    simple = {
        "string": "VARCHAR",
        "long": "BIGINT",
        "int": "INTEGER",
        "boolean": "BOOLEAN",
        "double": "DOUBLE",
        "float": "FLOAT",
        "date": "DATE",
        "timestamp": "TIMESTAMP",
        "timestamptz": "TIMESTAMPTZ",
        "binary": "BLOB",
    }
    if kind in simple:
        return simple[kind]
    if match := re.fullmatch(r"decimal\((\d+), ?(\d+)\)", kind):
        return f"DECIMAL({match[1]},{match[2]})"
    if match := re.fullmatch(r"list<(.*)>", kind):
        return f"{duck_type(match[1])}[]"
    raise not_here(f"Iceberg type {kind}")


def external_type(kind: str) -> str:
    """DuckDB's name of a Hive type; a Hive timestamp has three digits of a second."""
    simple = {
        "string": "VARCHAR",
        "int": "INTEGER",
        "float": "FLOAT",
        "binary": "BLOB",
        "timestamp": "TIMESTAMP_MS",
    }
    lower = kind.lower()
    if match := re.fullmatch(r"array<(.*)>", lower):
        return f"{external_type(match[1])}[]"
    if re.match(r"(varchar|char)\(", lower):
        return "VARCHAR"
    return simple.get(lower, lower.upper())


def external_read(name: str, kind: str, is_lenient: bool) -> str:
    """A column of a file as its Hive type; LazySimpleSerDe takes a wrong text for NULL."""
    prefix = "try_" if is_lenient else ""
    if kind.lower() == "timestamp":
        return f'trino_{prefix}to_timestamp3("{name}")'
    return f'{prefix}cast("{name}" as {external_type(kind)})'


def partition_field(text: str) -> tuple[str, Any, str]:
    """`dt`, `day(at)`, `bucket(id, 4)` as Iceberg has them: column, transform, name."""
    match = re.fullmatch(r"(\w+)\((\w+)(?:, *(\d+))?\)", text)
    if match is None:
        return text, parse_transform("identity"), text
    kind, column = match[1].lower(), match[2].lower()
    spelled = f"{kind}[{match[3]}]" if match[3] else kind
    return column, parse_transform(spelled), f"{column}_{kind}"


def check_partitions(rows: pa.Table, metadata: TableMetadata) -> None:
    """Refuse a write that would open more partitions than Athena does."""
    schema, fields = metadata.schema(), metadata.spec().fields
    if not fields:
        return
    values = [
        one.transform.pyarrow_transform(schema.find_type(one.source_id))(
            rows.column(schema.find_column_name(one.source_id))
        )
        for one in fields
    ]
    names = [one.name for one in fields]
    distinct = pa.table(values, names=names).group_by(names).aggregate([])
    if distinct.num_rows > OPEN_PARTITIONS:
        raise AthenaFailure(
            "ICEBERG_TOO_MANY_OPEN_PARTITIONS",
            f"Exceeded limit of {OPEN_PARTITIONS} open writers for partitions",
        )


def projection(name: str, parameters: Mapping[str, str]) -> Any:
    """Whether a value is in a projected partition column's range."""
    kind = parameters.get(f"projection.{name}.type", "").lower()
    if kind == "injected":
        raise not_here("injected projection")
    if kind == "enum":
        values = {one.strip() for one in parameters[f"projection.{name}.values"].split(",")}
        return values.__contains__
    first, last = parameters[f"projection.{name}.range"].split(",")
    if kind == "integer":
        return lambda value: value.isdigit() and int(first) <= int(value) <= int(last)
    if kind != "date":
        raise AthenaFailure("INVALID_TABLE_PROPERTY", f"projection.{name}.type is {kind!r}")
    if parameters.get(f"projection.{name}.format", "yyyy-MM-dd") != "yyyy-MM-dd":
        raise not_here("a date projection of another format than yyyy-MM-dd")
    low, high = _projected_day(first), _projected_day(last)

    def contains(value: str) -> bool:
        try:
            return low <= date.fromisoformat(value) <= high
        except ValueError:
            return False

    return contains


def _projected_day(text: str) -> date:
    text = text.strip()
    match = re.fullmatch(r"NOW *(?:([+-]) *(\d+) *(DAY|WEEK|MONTH|YEAR)S?)?", text)
    if not match:
        return date.fromisoformat(text)
    days = {"DAY": 1, "WEEK": 7, "MONTH": 30, "YEAR": 365}.get(match[3] or "DAY", 1)
    shift = int(match[2] or 0) * days * (-1 if match[1] == "-" else 1)
    return datetime.now(UTC).date() + timedelta(days=shift)
