"""What can be asked of the catalog in SQL: information_schema, and Iceberg's `t$snapshots`."""

from __future__ import annotations

import pyarrow as pa

from tests.athena_local.catalog import Catalog, is_iceberg
from tests.athena_local.errors import AthenaFailure, not_here

_TABLES = pa.schema(
    [(name, pa.string()) for name in ("table_catalog", "table_schema", "table_name", "table_type")]
)
_COLUMNS = pa.schema(
    [
        ("table_catalog", pa.string()),
        ("table_schema", pa.string()),
        ("table_name", pa.string()),
        ("column_name", pa.string()),
        ("ordinal_position", pa.int64()),
        ("data_type", pa.string()),
    ]
)


def metadata_rows(catalog: Catalog, owner: str, name: str) -> pa.Table:
    """The rows of `information_schema.<name>` or of a table's `<table>$<part>`.

    Raises:
        AthenaFailure: there is no such thing.
    """
    if owner == "information_schema":
        return _information_schema(catalog, name)
    table, _, part = name.partition("$")
    described = catalog.must_describe(owner, table)
    if not is_iceberg(described):
        raise not_here(f"{part} of a table that is not Iceberg")
    inspect = catalog.read(described).inspect
    parts = {"snapshots": inspect.snapshots, "history": inspect.history, "files": inspect.files}
    if part not in parts:
        raise not_here(f"metadata table ${part}")
    return parts[part]()


def _information_schema(catalog: Catalog, name: str) -> pa.Table:
    databases = [
        one["Name"]
        for page in catalog.glue.get_paginator("get_databases").paginate()
        for one in page["DatabaseList"]
    ]
    if name == "schemata":
        return pa.table(
            {"catalog_name": ["awsdatacatalog"] * len(databases), "schema_name": databases}
        )
    tables = [
        one
        for database in databases
        for page in catalog.glue.get_paginator("get_tables").paginate(DatabaseName=database)
        for one in page["TableList"]
    ]
    if name == "tables":
        rows = [
            {
                "table_catalog": "awsdatacatalog",
                "table_schema": one["DatabaseName"],
                "table_name": one["Name"],
                "table_type": "VIEW" if one.get("TableType") == "VIRTUAL_VIEW" else "BASE TABLE",
            }
            for one in tables
        ]
        return pa.Table.from_pylist(rows, _TABLES)
    if name == "columns":
        rows = [
            {
                "table_catalog": "awsdatacatalog",
                "table_schema": one["DatabaseName"],
                "table_name": one["Name"],
                "column_name": column["Name"],
                "ordinal_position": place,
                "data_type": {"string": "varchar", "int": "integer"}.get(
                    column["Type"], column["Type"]
                ),
            }
            for one in tables
            for place, column in enumerate(
                one["StorageDescriptor"]["Columns"] + one.get("PartitionKeys", []), start=1
            )
            if column.get("Parameters", {}).get("iceberg.field.current") != "false"
        ]
        return pa.Table.from_pylist(rows, _COLUMNS)
    raise AthenaFailure(
        "TABLE_NOT_FOUND",
        f"line 1:1: Table 'awsdatacatalog.information_schema.{name}' does not exist",
    )
