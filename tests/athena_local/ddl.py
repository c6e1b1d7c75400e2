"""Statements that Athena hands to Hive's grammar: databases, external tables, ALTER, SHOW.

Here: reading them and writing to Glue. Not here: queries.
"""

# boto3 answers with all keys that are read here; its types call them optional.
# pyright: reportTypedDictNotRequiredAccess=false

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
from botocore.exceptions import ClientError

from tests.athena_local.catalog import Catalog, duck_type, is_iceberg
from tests.athena_local.engine import Outcome, arrow_type, columns_of, relation_name
from tests.athena_local.errors import AthenaFailure, not_here
from tests.athena_local.values import ResultColumn

_FORMATS: Final = {
    "parquet": (
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    ),
    "textfile": (
        "org.apache.hadoop.mapred.TextInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
    ),
}
_NAME: Final = r"[\w.`\"$]+"
_FLAGS: Final = re.IGNORECASE | re.DOTALL

# https://docs.aws.amazon.com/athena/latest/ug/reserved-words.html
_RESERVED: Final = frozenset(
    """all alter and array as authorization between bigint binary boolean both by case cashe cast
    char
    column conf constraint commit create cross cube current current_date current_timestamp cursor
    database date dayofweek decimal delete describe distinct div double drop else end exchange
    exists extended external extract false fetch float floor following for foreign from full
    function grant group grouping having if import in inner insert int integer intersect interval
    into is join lateral left less like local macro map more none not null numeric of on only or
    order out outer over partialscan partition percent preceding precision preserve primary
    procedure range reads reduce regexp references revoke right rlike rollback rollup row rows
    select set smallint start table tablesample then time timestamp to transform trigger true
    truncate unbounded union uniquejoin update user using utc_timestamp values varchar views when
    where window with""".split()
)

# With any other word Trino's parser is asked, and answers.
_WORDS: Final = frozenset("alter create desc describe drop msck show".split())

Handler = Callable[[Catalog, re.Match[str], str], Outcome]


def execute_ddl(catalog: Catalog, sql: str, database: str) -> Outcome:
    """Execute one statement of Hive's grammar; raises AthenaFailure."""
    text = sql.strip()
    for pattern, handler in _STATEMENTS:
        if match := re.fullmatch(pattern, text, _FLAGS):
            return handler(catalog, match, database)
    word = text.split(maxsplit=1)[0] if text else "<EOF>"
    if word.lower() not in _WORDS:
        raise AthenaFailure("SYNTAX_ERROR", f"line 1:1: mismatched input '{word}'")
    raise AthenaFailure("FAILED", f"ParseException line 1:0 cannot recognize input near '{word}'")


def _done(kind: str, substatement: str) -> Outcome:
    return Outcome(kind, "DDL", substatement)


def _create_database(catalog: Catalog, match: re.Match[str], database: str) -> Outcome:
    name = match["name"].strip('`"').lower()
    made = {"Name": name}
    if location := re.search(r"location\s+'([^']*)'", match["rest"] or "", re.IGNORECASE):
        made["LocationUri"] = location[1]
    try:
        catalog.glue.create_database(DatabaseInput=made)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise
        if not match["exists"]:
            raise AthenaFailure(
                "FAILED", f"SemanticException [Error 10005]: Database {name} already exists"
            ) from error
    return _done("create schema", "CREATE_DATABASE")


def _drop_database(catalog: Catalog, match: re.Match[str], database: str) -> Outcome:
    name = match["name"].strip('`"').lower()
    if not catalog.has_database(name):
        if match["exists"]:
            return _done("drop schema", "DROP_DATABASE")
        raise AthenaFailure(
            "FAILED", f"SemanticException [Error 10072]: Database does not exist: {name}"
        )
    tables = [
        table
        for page in catalog.glue.get_paginator("get_tables").paginate(DatabaseName=name)
        for table in page["TableList"]
    ]
    if tables and not match["cascade"]:
        raise AthenaFailure(
            "FAILED",
            "Execution Error, return code 1. InvalidOperationException(message:Database "
            f"{name} is not empty. One or more tables exist.)",
        )
    for table in tables:
        catalog.drop(table)
    catalog.glue.delete_database(Name=name)
    return _done("drop schema", "DROP_DATABASE")


def _drop(catalog: Catalog, match: re.Match[str], database: str) -> Outcome:
    kind = match["kind"].lower()
    owner, name = relation_name(match["name"], database)
    described = catalog.describe(owner, name)
    is_view = described is not None and described.get("TableType") == "VIRTUAL_VIEW"
    if described is None or is_view != (kind == "view"):
        if match["exists"] and described is None:
            return _done(f"drop {kind}", f"DROP_{kind.upper()}")
        raise AthenaFailure(
            "TABLE_NOT_FOUND", f"line 1:1: {kind.capitalize()} '{owner}.{name}' does not exist"
        )
    catalog.drop(described)
    return _done(f"drop {kind}", f"DROP_{kind.upper()}")


def split_columns(text: str) -> list[tuple[str, str]]:
    """`a string, b decimal(10, 2) comment '..'` as names and types."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "(<") - (sign in ")>")
        if sign == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    parts.append(text[start:])
    columns = []
    for part in filter(str.strip, parts):
        name, _, kind = re.sub(r"^(`[^`]+`|\S+)\s+", r"\1\0", part.strip()).partition("\0")
        kind = re.sub(r"\s+comment\s+'.*'$", "", kind.strip(), flags=re.IGNORECASE)
        if name.startswith("_") or name.lower() in _RESERVED:
            raise AthenaFailure(
                "FAILED", f"ParseException line 1:1 cannot recognize input near '{name}'"
            )
        columns.append((name.strip('`"').lower(), re.sub(r"\s+", "", kind).lower()))
    return columns


def _closing(text: str) -> int:
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return place
    raise AthenaFailure("FAILED", "ParseException line 1:0 missing ) at '<EOF>'")


def _pairs(text: str) -> dict[str, str]:
    return {
        key: value.replace("''", "'")
        for key, value in re.findall(r"'([^']*)'\s*=\s*'((?:[^']|'')*)'", text)
    }


def _create_table(catalog: Catalog, match: re.Match[str], database: str) -> Outcome:
    owner, name = relation_name(match["name"], database)
    body = match["rest"]
    end = _closing(body)
    columns, clauses = split_columns(body[1:end]), body[end + 1 :]
    partitions: list[tuple[str, str]] = []
    partitioning: list[str] = []
    if found := re.search(r"partitioned\s+by\s*(\(.*)", clauses, _FLAGS):
        inner = found[1][1 : _closing(found[1])]
        if re.search(r"\w\s+\w", inner):
            partitions = split_columns(inner)
        else:
            partitioning = [
                part.strip().strip("`").replace("`", "")
                for part in re.split(r",(?![^(]*\))", inner)
            ]
    location = re.search(r"location\s+'([^']*)'", clauses, re.IGNORECASE)
    if location is None:
        raise AthenaFailure("INVALID_TABLE_PROPERTY", "line 1:1: Table location can not be null")
    table = re.search(r"tblproperties\s*\((.*)\)", clauses, _FLAGS)
    properties = _pairs(table[1]) if table else {}
    if not catalog.has_database(owner):
        raise AthenaFailure("SCHEMA_NOT_FOUND", f"line 1:1: Schema '{owner}' does not exist")
    if catalog.describe(owner, name) is not None:
        if match["exists"]:
            return _done("create table", "CREATE_TABLE")
        raise AthenaFailure(
            "TABLE_ALREADY_EXISTS", f"line 1:1: Table '{owner}.{name}' already exists"
        )
    if properties.get("table_type", "").lower() == "iceberg":
        if match["external"]:
            raise AthenaFailure("FAILED", "CREATE EXTERNAL TABLE is not for Iceberg tables")
        _create_iceberg(catalog, owner, name, columns, location[1], partitioning)
        return _done("create table", "CREATE_TABLE")
    if not match["external"]:
        raise AthenaFailure("FAILED", "ParseException: only external table creation is supported")
    serde, parameters = _serde(clauses)
    catalog.glue.create_table(
        DatabaseName=owner,
        TableInput={
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", **properties},
            "PartitionKeys": [{"Name": one, "Type": kind} for one, kind in partitions],
            "StorageDescriptor": {
                "Columns": [{"Name": one, "Type": kind} for one, kind in columns],
                "Location": location[1],
                "InputFormat": serde[0],
                "OutputFormat": serde[1],
                "SerdeInfo": {"SerializationLibrary": serde[2], "Parameters": parameters},
            },
        },
    )
    return _done("create table", "CREATE_TABLE")


def _create_iceberg(
    catalog: Catalog,
    owner: str,
    name: str,
    columns: list[tuple[str, str]],
    location: str,
    partitioning: list[str],
) -> None:
    schema = pa.schema([pa.field(one, iceberg_arrow_type(kind)) for one, kind in columns])
    catalog.create_iceberg(
        owner, name, schema.empty_table(), location, partitioning, {"format-version": "2"}
    )


def iceberg_arrow_type(kind: str) -> pa.DataType:
    """Arrow's type of a type in Athena's DDL of an Iceberg table."""
    names = {"bigint": "long", "varchar": "string", "integer": "int"}
    if re.match(r"timestamp\(", kind):
        raise AthenaFailure("FAILED", f"ParseException: unknown type {kind}")
    if kind in ("smallint", "tinyint", "varchar", "integer") or re.match(r"(varchar|char)\(", kind):
        raise AthenaFailure("NOT_SUPPORTED", f"Unsupported Iceberg type in DDL: {kind}")
    return arrow_type(duck_type(names.get(kind, kind)))


def _serde(clauses: str) -> tuple[tuple[str, str, str], dict[str, str]]:
    stored = re.search(r"stored\s+as\s+(\w+)", clauses, re.IGNORECASE)
    kind = stored[1].lower() if stored else "textfile"
    if kind not in _FORMATS:
        raise not_here(f"tables stored as {kind}")
    formats = _FORMATS[kind]
    named = re.search(r"row\s+format\s+serde\s+'([^']*)'", clauses, re.IGNORECASE)
    if named:
        formats = (*formats[:2], named[1])
        if "parquet" in named[1].lower():
            formats = _FORMATS["parquet"]
    options = re.search(r"with\s+serdeproperties\s*\(([^)]*)\)", clauses, _FLAGS)
    parameters = _pairs(options[1]) if options else {}
    if ended := re.search(r"fields\s+terminated\s+by\s+'([^']*)'", clauses, re.IGNORECASE):
        parameters["field.delim"] = ended[1].encode().decode("unicode_escape")
    return formats, {"serialization.format": "1", **parameters}


def _alter(catalog: Catalog, match: re.Match[str], database: str) -> Outcome:
    owner, name = relation_name(match["name"], database)
    described = catalog.must_describe(owner, name)
    action = match["rest"].strip()
    for pattern, change in _CHANGES:
        if found := re.fullmatch(pattern, action, _FLAGS):
            change(catalog, described, found, database)
            return _done("alter table", "ALTER_TABLE")
    raise not_here(f"ALTER TABLE {action.split('(')[0]}")


def _table_input(described: dict[str, Any]) -> dict[str, Any]:
    names = (
        *("Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys"),
        *("ViewOriginalText", "ViewExpandedText", "TableType", "Parameters"),
    )
    return {key: described[key] for key in names if key in described}


def _set_properties(
    catalog: Catalog, described: dict[str, Any], found: re.Match[str], database: str
) -> None:
    made = _table_input(described)
    made["Parameters"] = {**made.get("Parameters", {}), **_pairs(found["pairs"])}
    catalog.glue.update_table(DatabaseName=described["DatabaseName"], TableInput=made)


def _rename(
    catalog: Catalog, described: dict[str, Any], found: re.Match[str], database: str
) -> None:
    if not is_iceberg(described):
        raise AthenaFailure("NOT_SUPPORTED", "RENAME is for Iceberg tables only")
    owner, name = relation_name(found["to"], described["DatabaseName"])
    if catalog.describe(owner, name) is not None:
        raise AthenaFailure(
            "TABLE_ALREADY_EXISTS", f"line 1:1: Table '{owner}.{name}' already exists"
        )
    catalog.glue.create_table(
        DatabaseName=owner, TableInput={**_table_input(described), "Name": name}
    )
    catalog.glue.delete_table(DatabaseName=described["DatabaseName"], Name=described["Name"])


def _add_columns(
    catalog: Catalog, described: dict[str, Any], found: re.Match[str], database: str
) -> None:
    columns = split_columns(found["columns"])
    if is_iceberg(described):
        added = pa.schema([pa.field(name, iceberg_arrow_type(kind)) for name, kind in columns])
        with catalog.load(described).update_schema() as update:
            update.union_by_name(added)
        return
    made = _table_input(described)
    made["StorageDescriptor"]["Columns"] += [{"Name": one, "Type": kind} for one, kind in columns]
    catalog.glue.update_table(DatabaseName=described["DatabaseName"], TableInput=made)


def _drop_column(
    catalog: Catalog, described: dict[str, Any], found: re.Match[str], database: str
) -> None:
    if not is_iceberg(described):
        raise AthenaFailure("FAILED", "ParseException: DROP COLUMN is for Iceberg tables only")
    with catalog.load(described).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column(found["column"].strip("`"))


def _replace_columns(
    catalog: Catalog, described: dict[str, Any], found: re.Match[str], database: str
) -> None:
    if is_iceberg(described):
        raise AthenaFailure("NOT_SUPPORTED", "REPLACE COLUMNS is not for Iceberg tables")
    made = _table_input(described)
    columns = split_columns(found["columns"])
    storage = {**made["StorageDescriptor"]}
    storage["Columns"] = [{"Name": one, "Type": kind} for one, kind in columns]
    made["StorageDescriptor"] = storage
    catalog.glue.update_table(DatabaseName=described["DatabaseName"], TableInput=made)


def _change_column(
    catalog: Catalog, described: dict[str, Any], found: re.Match[str], database: str
) -> None:
    if not is_iceberg(described):
        raise AthenaFailure("FAILED", "ParseException: CHANGE COLUMN is for Iceberg tables only")
    old = found["column"].strip("`").lower()
    [(new, kind)] = split_columns(found["made"])
    table = catalog.load(described)
    if old not in table.schema().column_names:
        raise AthenaFailure("COLUMN_NOT_FOUND", f"line 1:1: Column '{old}' does not exist")
    with table.update_schema() as update:
        update.union_by_name(pa.schema([pa.field(old, iceberg_arrow_type(kind))]))
        if old != new:
            update.rename_column(old, new)


def _add_partitions(
    catalog: Catalog, described: dict[str, Any], found: re.Match[str], database: str
) -> None:
    pattern = r"partition\s*\(([^)]*)\)\s*(?:location\s+'([^']*)')?"
    for values, location in re.findall(pattern, found["parts"], _FLAGS):
        pairs = dict(re.findall(r"(\w+)\s*=\s*'?([^',]*)'?", values))
        names = [one["Name"] for one in described.get("PartitionKeys", [])]
        storage = dict(described["StorageDescriptor"])
        storage["Location"] = location or "/".join(
            [storage["Location"].rstrip("/"), *(f"{one}={pairs[one]}" for one in names)]
        )
        try:
            catalog.glue.create_partition(
                DatabaseName=described["DatabaseName"],
                TableName=described["Name"],
                PartitionInput={
                    "Values": [pairs[one] for one in names],
                    "StorageDescriptor": storage,
                },
            )
        except ClientError as error:
            known = error.response["Error"]["Code"] == "AlreadyExistsException"
            if not (known and found["exists"]):
                raise AthenaFailure(
                    "FAILED", "AlreadyExistsException: Partition already exists"
                ) from error


_CHANGES: Final = (
    (r"set\s+tblproperties\s*\((?P<pairs>.*)\)", _set_properties),
    (rf"rename\s+to\s+(?P<to>{_NAME})", _rename),
    (r"add\s+columns\s*\((?P<columns>.*)\)", _add_columns),
    (r"replace\s+columns\s*\((?P<columns>.*)\)", _replace_columns),
    (r"drop\s+column\s+(?P<column>`[^`]+`|\S+)", _drop_column),
    (r"change\s+(?:column\s+)?(?P<column>`[^`]+`|\S+)\s+(?P<made>.*)", _change_column),
    (r"add\s+(?P<exists>if\s+not\s+exists\s+)?(?P<parts>partition\s*\(.*)", _add_partitions),
)


def _listing(name: str, rows: list[str], substatement: str) -> Outcome:
    return Outcome(
        "show", "DDL", substatement, [ResultColumn(name, "VARCHAR")], [[row] for row in rows]
    )


def _show_databases(catalog: Catalog, match: re.Match[str], database: str) -> Outcome:
    pages = catalog.glue.get_paginator("get_databases").paginate()
    names = [one["Name"] for page in pages for one in page["DatabaseList"]]
    return _listing("database_name", sorted(names), "SHOW_DATABASES")


def _show_tables(catalog: Catalog, match: re.Match[str], database: str) -> Outcome:
    owner = (match["owner"] or database).strip('`"').lower()
    pages = catalog.glue.get_paginator("get_tables").paginate(DatabaseName=owner)
    names = [one["Name"] for page in pages for one in page["TableList"]]
    return _listing("tab_name", sorted(names), "SHOW_TABLES")


def _describe(catalog: Catalog, match: re.Match[str], database: str) -> Outcome:
    described = catalog.must_describe(*relation_name(match["name"], database))
    rows = [f"{name:<20}\t{kind:<20}\t" for name, kind in columns_of(described).items()]
    return _listing("col_name", rows, "DESCRIBE_TABLE")


def _show_columns(catalog: Catalog, match: re.Match[str], database: str) -> Outcome:
    owner = (match["owner"] or database).strip('`"').lower()
    described = catalog.must_describe(*relation_name(match["name"], owner))
    return _listing("field", [f"{name:<20}" for name in columns_of(described)], "SHOW_COLUMNS")


_STATEMENTS: Final[tuple[tuple[str, Handler], ...]] = (
    (
        r"create\s+(?:schema|database)\s+(?P<exists>if\s+not\s+exists\s+)?(?P<name>[`\"\w]+)"
        r"(?P<rest>.*)",
        _create_database,
    ),
    (
        r"drop\s+(?:schema|database)\s+(?P<exists>if\s+exists\s+)?(?P<name>[`\"\w]+)"
        r"(?P<cascade>\s+cascade)?(?:\s+restrict)?",
        _drop_database,
    ),
    (rf"drop\s+(?P<kind>table|view)\s+(?P<exists>if\s+exists\s+)?(?P<name>{_NAME})", _drop),
    (
        r"create\s+(?P<external>external\s+)?table\s+(?P<exists>if\s+not\s+exists\s+)?"
        rf"(?P<name>{_NAME})\s*(?P<rest>\(.*)",
        _create_table,
    ),
    (rf"alter\s+table\s+(?P<name>{_NAME})\s+(?P<rest>.*)", _alter),
    (r"show\s+(?:databases|schemas).*", _show_databases),
    (r"show\s+tables(?:\s+(?:in|from)\s+(?P<owner>[`\"\w]+))?.*", _show_tables),
    (
        rf"show\s+columns\s+(?:in|from)\s+(?P<name>{_NAME})"
        r"(?:\s+(?:in|from)\s+(?P<owner>[`\"\w]+))?",
        _show_columns,
    ),
    (rf"desc(?:ribe)?\s+(?:formatted\s+|extended\s+)?(?P<name>{_NAME})", _describe),
)
