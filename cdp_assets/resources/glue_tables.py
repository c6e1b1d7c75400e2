"""Databases and tables of the Glue catalogue: what Athena reads and what a table points at.

Here: the few calls of Glue that the warehouse needs, each safe to repeat.
Not here: statements (`athena_warehouse.py`), Dagster, dbt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError

from cdp_assets.errors import PlatformError
from cdp_assets.partitions import FIRST_LANDING_DAY
from cdp_assets.resources.aws import aws_fault, code_of

_PARQUET: Final = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    },
}
# What Glue gives with a table and does not take with one.
_INPUT_KEYS: Final = (
    "Name",
    "Description",
    "Owner",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "ViewOriginalText",
    "ViewExpandedText",
    "TableType",
    "Parameters",
)
# Athena makes a table's partitions up from these, and lists the folder of each in every query that
# names no day: none before the first that can be there.
_PROJECTED_DAYS: Final = f"{FIRST_LANDING_DAY},NOW+2DAYS"
_THERE: Final = "AlreadyExistsException"
_NOT_THERE: Final = "EntityNotFoundException"


class GlueError(PlatformError):
    """Glue refused or could not be reached; the message names action, table and what to do."""


class GlueTables:
    """Calls of Glue. One whose answer was lost may be made again.

    Args:
        client: boto3's client for Glue.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def ensure_database(self, name: str) -> None:
        """Make a database, unless there is one."""
        with _told("glue:CreateDatabase", name, passing=_THERE):
            self._client.create_database(DatabaseInput={"Name": name})

    def drop_database(self, name: str) -> None:
        """Drop a database without tables, if there is one."""
        with _told("glue:DeleteDatabase", name, passing=_NOT_THERE):
            self._client.delete_database(Name=name)

    def databases(self, prefix: str) -> list[str]:
        """The databases whose names begin so."""
        pages = self._client.get_paginator("get_databases").paginate()
        with _told("glue:GetDatabases", prefix):
            return [
                database["Name"]
                for page in pages
                for database in page["DatabaseList"]
                if database["Name"].startswith(prefix)
            ]

    def tables(self, database: str) -> list[dict[str, Any]]:
        """The tables and views of a database, as Glue tells them; none if it is not there."""
        pages = self._client.get_paginator("get_tables").paginate(DatabaseName=database)
        with _told("glue:GetTables", database, passing=_NOT_THERE):
            return [table for page in pages for table in page["TableList"]]
        return []

    def table(self, database: str, name: str) -> dict[str, Any] | None:
        """One table; None if it is not there."""
        with _told("glue:GetTable", f"{database}.{name}", passing=_NOT_THERE):
            return self._client.get_table(DatabaseName=database, Name=name)["Table"]
        return None

    def put(self, database: str, table: Mapping[str, Any]) -> None:
        """Make a table of this description, or make the one that is there so."""
        wanted = {key: table[key] for key in _INPUT_KEYS if key in table}
        name = f"{database}.{table['Name']}"
        there = self.table(database, table["Name"])
        if there is None:
            # A call whose answer was lost is made again, and finds the table that it made.
            with _told("glue:CreateTable", name, passing=_THERE):
                self._client.create_table(DatabaseName=database, TableInput=wanted)
        elif {key: there[key] for key in _INPUT_KEYS if key in there} != wanted:
            with _told("glue:UpdateTable", name):
                self._client.update_table(
                    DatabaseName=database, TableInput=wanted, SkipArchive=True
                )

    def drop(self, database: str, name: str) -> None:
        """Take a table out of the catalogue, if it is there; its files stay."""
        with _told("glue:DeleteTable", f"{database}.{name}", passing=_NOT_THERE):
            self._client.delete_table(DatabaseName=database, Name=name)

    def metadata_location(self, database: str, name: str) -> str | None:
        """Where an Iceberg table's current metadata lies; None if there is no such table."""
        table = self.table(database, name)
        return table["Parameters"].get("metadata_location") if table else None

    def set_back(self, database: str, name: str, place: str | None) -> None:
        """Make metadata that an Iceberg table had once its current one; without, drop the table."""
        table = self.table(database, name)
        if table is None:
            return
        if place is None:
            self.drop(database, name)
        elif table["Parameters"].get("metadata_location") != place:
            self.put(
                database,
                {**table, "Parameters": {**table["Parameters"], "metadata_location": place}},
            )

    def replace_external(self, database: str, name: str, schema: pa.Schema, location: str) -> None:
        """Make a table of the Parquet files in a folder."""
        self.put(database, _external(name, schema, location))

    def replace_projected(self, database: str, name: str, schema: pa.Schema, location: str) -> None:
        """Make a table of the Parquet files in `location`/dt=YYYY-MM-DD/.

        Its partitions are projected: no crawler, no call per new day, and no lists of them.
        """
        table = _external(name, schema, location)
        table["PartitionKeys"] = [{"Name": "dt", "Type": "date"}]
        table["Parameters"] |= {
            "projection.enabled": "true",
            "projection.dt.type": "date",
            "projection.dt.format": "yyyy-MM-dd",
            "projection.dt.range": _PROJECTED_DAYS,
            "projection.dt.interval": "1",
            "projection.dt.interval.unit": "DAYS",
            "storage.location.template": f"{location}/dt=${{dt}}/",
        }
        self.put(database, table)


def arrow_columns(schema: pa.Schema) -> list[tuple[str, str]]:
    """Names and Glue types of the columns.

    Raises:
        ValueError: a type that no table of ours has.
    """
    return [(field.name, _glue_type(field.type)) for field in schema]


def _glue_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    for is_kind, name in (
        (pa.types.is_timestamp, "timestamp"),
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_int64, "bigint"),
        (pa.types.is_integer, "int"),
        (pa.types.is_floating, "double"),
        (pa.types.is_date, "date"),
        (pa.types.is_string, "string"),
        (pa.types.is_large_string, "string"),
        (pa.types.is_null, "string"),
    ):
        if is_kind(kind):
            return name
    raise ValueError(f"{kind} is no column type of the warehouse.")


def _external(name: str, schema: pa.Schema, location: str) -> dict[str, Any]:
    columns = [{"Name": column, "Type": kind} for column, kind in arrow_columns(schema)]
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
        "StorageDescriptor": {"Columns": columns, "Location": location, **_PARQUET},
        "PartitionKeys": [],
    }


@contextmanager
def _told(action: str, what: str, passing: str = "") -> Iterator[None]:
    """Turn what Glue says into an error of ours, except the code in `passing`."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        if code_of(error) != passing:
            raise GlueError(f"{action} on {what} failed: {aws_fault(error)}") from error
