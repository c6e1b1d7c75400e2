"""What the Python stages say, in the words of Athena.

The stages write SQL that both engines read, about tables named `<layer>.<name>`. Seven things are
spelled differently on Athena, and are put right here: the database of a layer, how an Iceberg table
is created or replaced, a table that lasts for a session, the type of a text, its hash, and how Glue
keeps a view. Pure functions of text.
Not here: running anything (`athena_warehouse.py`), the SQL of dbt (dbt_project/macros/engine).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from cdp_assets.naming import LAYERS

_QUOTED_OR_LAYER: Final = re.compile(
    rf"'(?:[^']|'')*'|(?<![\w.\"])({'|'.join(LAYERS)})\.(?=[a-z_])"
)
_CREATE: Final = re.compile(r"\s*create table if not exists (\S+) \((.*)\)\s*", re.DOTALL)
# Not that of decimal(18,2).
_COMMA: Final = re.compile(r",(?![^(]*\))")
_KEEP: Final = re.compile(r"\s*create temporary table (\w+) as\s", re.DOTALL)
_REPLACE: Final = re.compile(r"\s*create or replace table (\w+)\.(\w+) as\s", re.DOTALL)
_TARGET: Final = re.compile(
    r"\s*(?:insert into|delete from|update|create table if not exists|create or replace table)"
    r" (\w+)\.(\w+)",
    re.DOTALL,
)
_VIEW: Final = re.compile(r"/\* Presto View: (\S+) \*/")
_QUOTED_OR_SHA256: Final = re.compile(r"'(?:[^']|'')*'|\bsha256_hex\(([\w.]+)\)")
# Iceberg DDL knows no length-less varchar and no integer.
_DDL_TYPES: Final = {"varchar": "string", "integer": "int"}


def with_databases(sql: str, database_of: Callable[[str], str]) -> str:
    """The statement with each `<layer>.` as the database of that layer; texts stay as they are."""
    return _QUOTED_OR_LAYER.sub(
        lambda match: f"{database_of(match[1])}." if match[1] else match[0], sql
    )


def view_of_databases(text: str, databases: Mapping[str, str]) -> str:
    """The text in which Glue keeps a view, with other databases in place of those that it reads.

    Args:
        text: `/* Presto View: ... */`, with JSON in base64 inside.
        databases: old name to new name.
    """
    match = _VIEW.fullmatch(text)
    if match is None:
        raise ValueError("This is no view of Athena's.")
    view = json.loads(base64.b64decode(match[1]))
    names = "|".join(map(re.escape, databases))
    # Texts and comments stay as they are.
    word = re.compile(
        rf"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|(?<![\w$])({names})(?=\"?\s*\.)",
        re.IGNORECASE | re.DOTALL,
    )
    view["originalSql"] = word.sub(
        lambda found: databases[found[1].lower()] if found[1] else found[0], view["originalSql"]
    )
    view["schema"] = databases.get(view.get("schema"), view.get("schema"))
    return f"/* Presto View: {base64.b64encode(json.dumps(view).encode()).decode()} */"


def with_hashes(sql: str) -> str:
    """The statement with each `sha256_hex(column)`, 64 lower-case digits, in Athena's words."""
    return _QUOTED_OR_SHA256.sub(
        lambda match: f"lower(to_hex(sha256(to_utf8({match[1]}))))" if match[1] else match[0], sql
    )


def target_of(sql: str) -> tuple[str, str] | None:
    """Layer and name of the table that a statement writes; None where it writes none of a layer."""
    match = _TARGET.match(sql)
    return (match[1], match[2]) if match and match[1] in LAYERS else None


def created_columns(sql: str) -> str | None:
    """The column list of a `create table if not exists`, as Iceberg DDL; None for other SQL."""
    match = _CREATE.fullmatch(sql)
    if match is None:
        return None
    columns = (column.strip().rsplit(" ", 1) for column in _COMMA.split(match[2]))
    return ", ".join(f"{name} {_DDL_TYPES.get(kind, kind)}" for name, kind in columns)


def iceberg_table(address: str, columns: str, location: str) -> str:
    """The statement that makes an empty Iceberg table, unless there is one."""
    return (
        f"create table if not exists {address} ({columns}) location '{location}'"
        " tblproperties ('table_type' = 'ICEBERG', 'format' = 'parquet')"
    )


def kept_table(sql: str) -> tuple[str, str] | None:
    """Name and SELECT of a `create temporary table ... as`; None for other SQL."""
    match = _KEEP.match(sql)
    return (match[1], sql[match.end() :]) if match else None


def replacing_select(sql: str) -> str | None:
    """The SELECT of a `create or replace table layer.name as`; None for other SQL."""
    match = _REPLACE.match(sql)
    return sql[match.end() :] if match else None


def iceberg_table_as(address: str, select: str, location: str) -> str:
    """The statement that makes an Iceberg table of the rows of a SELECT.

    Iceberg even for a table that is soon gone: others keep no microseconds.
    """
    return (
        f"create table {address} with (table_type = 'ICEBERG', is_external = false,"
        f" location = '{location}', format = 'PARQUET') as {select}"
    )
