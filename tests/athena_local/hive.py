"""Hive tables as Athena writes them: files by partition, their format, and what Glue knows of both.

Here: CTAS and INSERT without Iceberg, the files of UNLOAD. Not here: reading (`catalog`), DDL
(`ddl`).
"""

# boto3 answers with all keys that are read here; its types call them optional.
# pyright: reportTypedDictNotRequiredAccess=false

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from tests.athena_local.catalog import NO_VALUE, OPEN_PARTITIONS, Catalog
from tests.athena_local.errors import AthenaFailure, not_here
from tests.athena_local.serdes import write_delimited
from tests.athena_local.values import ResultColumn, hive_type, texts

_PROPERTIES: Final = frozenset(
    """table_type is_external external_location format partitioned_by bucketed_by bucket_count
    write_compression parquet_compression orc_compression compression_level
    field_delimiter""".split()
)
# Signs that Hive writes into a folder's name as they are.
_PLAIN_IN_FOLDERS: Final = " !$&()+,-.;<>@_`|~"

Values = tuple[str, ...]


def create_hive(
    catalog: Catalog,
    database: str,
    name: str,
    rows: pa.Table,
    columns: Sequence[ResultColumn],
    properties: Mapping[str, Any],
    results: str,
) -> None:
    """CREATE TABLE AS: files, a table, and its partitions.

    Args:
        results: the folder of the table if the properties name none.

    Raises:
        AthenaFailure: Athena would not make it, or this server cannot.
    """
    _check_properties(properties)
    if catalog.describe(database, name) is not None:
        raise AthenaFailure(
            "TABLE_ALREADY_EXISTS",
            f"line 1:1: Table 'awsdatacatalog.{database}.{name}' already exists",
        )
    if not catalog.has_database(database):
        raise AthenaFailure("SCHEMA_NOT_FOUND", f"line 1:1: Schema '{database}' does not exist")
    keys = list(properties.get("partitioned_by", []))
    if keys and keys != [column.name for column in columns][-len(keys) :]:
        raise AthenaFailure(
            "HIVE_COLUMN_ORDER_MISMATCH",
            "Partition keys must be the last columns in the table and in the same order as the "
            f"table properties: [{', '.join(keys)}]",
        )
    if len(keys) == len(columns):
        raise AthenaFailure("INVALID_TABLE_PROPERTY", "Table contains only partition columns")
    location = str(properties.get("external_location", "") or results).rstrip("/")
    refuse_occupied(catalog, location)
    table = parquet_table(name, location, columns, len(keys))
    folders = write_files(catalog, table, rows, columns)
    catalog.glue.create_table(DatabaseName=database, TableInput=table)
    _add_partitions(catalog, database, table, folders)


def _check_properties(properties: Mapping[str, Any]) -> None:
    for name in properties:
        if name not in _PROPERTIES:
            raise AthenaFailure(
                "INVALID_TABLE_PROPERTY", f"line 1:1: Table property '{name}' does not exist"
            )
    if str(properties.get("format", "parquet")).lower() != "parquet":
        raise not_here(f"CTAS as {properties['format']}")
    if properties.get("bucketed_by"):
        raise not_here("bucketed CTAS")


def insert_hive(
    catalog: Catalog,
    described: Mapping[str, Any],
    rows: pa.Table,
    columns: Sequence[ResultColumn],
) -> None:
    """INSERT: more files, and the partitions that are new by them."""
    folders = write_files(catalog, described, rows, columns)
    _add_partitions(catalog, described["DatabaseName"], described, folders)


def parquet_table(
    name: str, location: str, columns: Sequence[ResultColumn], keys: int = 0
) -> dict[str, Any]:
    """Glue's input for an external Parquet table whose last columns are its partition keys."""
    listed = [{"Name": column.name, "Type": hive_type(column.duck)} for column in columns]
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "has_encrypted_data": "false"},
        "PartitionKeys": listed[len(listed) - keys :],
        "StorageDescriptor": {
            "Columns": listed[: len(listed) - keys],
            "Location": location,
            "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            "SerdeInfo": {
                "SerializationLibrary": (
                    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
                ),
                "Parameters": {"serialization.format": "1"},
            },
        },
    }


def refuse_occupied(catalog: Catalog, location: str) -> None:
    """A table that is made, and an UNLOAD, want an empty folder."""
    if next(catalog.objects.list(location), None):
        raise AthenaFailure(
            "HIVE_PATH_ALREADY_EXISTS", f"Target directory already exists: {location}"
        )


def refuse_microseconds(columns: Sequence[ResultColumn]) -> None:
    """Hive's moments have three digits of a second."""
    for column in columns:
        if column.duck == "TIMESTAMP":
            raise AthenaFailure(
                "NOT_SUPPORTED",
                "Incorrect timestamp precision for timestamp(6); the configured precision is "
                f"MILLISECONDS; column name: {column.name}",
            )
        hive_type(column.duck)


def write_files(
    catalog: Catalog, table: Mapping[str, Any], rows: pa.Table, columns: Sequence[ResultColumn]
) -> dict[Values, str]:
    """Write rows as a table has them: gives the folder of each partition that got some.

    Raises:
        AthenaFailure: too many partitions, or a type that cannot be written.
    """
    refuse_microseconds(columns)
    storage = table["StorageDescriptor"]
    keys = [one["Name"] for one in table.get("PartitionKeys", [])]
    folders: dict[Values, str] = {}
    for values, part in _parts(rows, columns, keys):
        named = zip(keys, values, strict=True)
        folder = "/".join(
            [
                storage["Location"].rstrip("/"),
                *(f"{name}={quote(value, _PLAIN_IN_FOLDERS)}" for name, value in named),
            ]
        )
        put_rows(catalog, storage, folder, part, columns[: len(columns) - len(keys)])
        folders[values] = folder
    return folders


def _parts(
    rows: pa.Table, columns: Sequence[ResultColumn], keys: Sequence[str]
) -> Iterator[tuple[Values, pa.Table]]:
    """The rows of each partition, without its keys."""
    if not len(rows):
        return
    if not keys:
        yield (), rows
        return
    rows = rows.rename_columns([column.name for column in columns])
    kinds = [column for column in columns if column.name in keys]
    places: dict[Values, list[int]] = {}
    for place, row in enumerate(texts(rows.select(list(keys)), kinds)):
        values = tuple(map(_key_text, row, kinds))
        places.setdefault(values, []).append(place)
    if len(places) > OPEN_PARTITIONS:
        raise AthenaFailure(
            "HIVE_TOO_MANY_OPEN_PARTITIONS",
            f"Exceeded limit of {OPEN_PARTITIONS} open writers for partitions/buckets",
        )
    kept = rows.drop_columns(list(keys))
    for values, taken in places.items():
        yield values, kept.take(taken)


def _key_text(value: str | None, column: ResultColumn) -> str:
    """A partition value as Hive writes it: a moment without a fraction that is zero."""
    if value is None:
        return NO_VALUE
    return value.removesuffix(".000") if column.athena == "timestamp" else value


def put_rows(
    catalog: Catalog,
    storage: Mapping[str, Any],
    folder: str,
    rows: pa.Table,
    columns: Sequence[ResultColumn],
) -> str:
    """One more object below a folder, in the format of a table; gives its address."""
    url = f"{folder.rstrip('/')}/{uuid.uuid4().hex}"
    serde = storage["SerdeInfo"]["SerializationLibrary"].lower()
    if "parquet" in serde:
        sink = pa.BufferOutputStream()
        named = rows.rename_columns([column.name for column in columns])
        pq.write_table(named, sink, compression="zstd")
        content = sink.getvalue().to_pybytes()
    elif serde.endswith("lazysimpleserde"):
        content = write_delimited(texts(rows, list(columns)), storage["SerdeInfo"]["Parameters"])
    else:
        raise not_here(f"writing with {storage['SerdeInfo']['SerializationLibrary']}")
    catalog.objects.put(url, content)
    return url


def _add_partitions(
    catalog: Catalog, database: str, table: Mapping[str, Any], folders: Mapping[Values, str]
) -> None:
    for values, folder in folders.items():
        if not values:
            continue
        storage = {**table["StorageDescriptor"], "Location": folder}
        try:
            catalog.glue.create_partition(
                DatabaseName=database,
                TableName=table["Name"],
                PartitionInput={
                    "Values": list(values),
                    "StorageDescriptor": storage,
                    "Parameters": {},
                },
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "AlreadyExistsException":
                raise
