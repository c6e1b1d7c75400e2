"""What executes a statement: the interface, and DuckDB behind it.

Here: the kinds of DML and how each is carried out. Not here: the API (`server`), Hive's DDL
(`ddl`), the translation (`translate`), tables (`catalog`).
"""

# sqlglot hands its expressions on without saying so to type checkers; pyarrow makes its compute
# functions at import.
# pyright: reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import re
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.tokens import Token, TokenType

from tests.athena_local import translate
from tests.athena_local.catalog import Catalog, Files, View, encode_view, is_iceberg
from tests.athena_local.errors import AthenaFailure, ScanLimitError, from_engine, not_here
from tests.athena_local.functions import install
from tests.athena_local.hive import (
    create_hive,
    insert_hive,
    parquet_table,
    put_rows,
    refuse_microseconds,
    refuse_occupied,
)
from tests.athena_local.typecheck import check_query
from tests.athena_local.values import ResultColumn, hive_type, narrow, texts, trino_type


@dataclass
class Request:
    """One statement to execute.

    Attributes:
        sql: its text.
        database: that short names belong to.
        query_id: Athena's id of it.
        output: the folder of its results.
        cutoff: bytes that it may scan.
        interrupt: stops it; set while something runs that can be stopped.
    """

    sql: str
    database: str
    query_id: str
    output: str
    cutoff: int | None = None
    interrupt: Callable[[], None] | None = None
    is_cancelled: bool = False

    def may_scan(self, size: int) -> None:
        """Stop before more is read than may be.

        Raises:
            ScanLimitError: it would be.
        """
        if self.cutoff is not None and size > self.cutoff:
            raise ScanLimitError


@dataclass(frozen=True)
class Outcome:
    """What a statement gave.

    Attributes:
        kind: as the record of statements counts it: `select`, `ctas`, `merge`, ...
        statement_type: Athena's: DML, DDL or UTILITY.
        substatement: Athena's: SELECT, CREATE_TABLE_AS_SELECT, ...
        columns: of the result; none for statements without one.
        rows: of the result, as text.
        update_count: rows written or deleted, where something was.
        scanned: bytes read.
        objects: addresses of the objects that an UNLOAD wrote.
        infos: the columns as the API describes them.
    """

    kind: str
    statement_type: str
    substatement: str
    columns: Sequence[ResultColumn] = ()
    rows: Sequence[Sequence[str | None]] = ()
    update_count: int | None = None
    scanned: int = 0
    objects: Sequence[str] = ()
    infos: Sequence[Mapping[str, Any]] = ()


class Engine(Protocol):
    """Executes statements of Athena's SQL."""

    def execute(self, request: Request) -> Outcome:
        """Execute one statement.

        Raises:
            AthenaFailure: it failed, in Athena's words.
        """
        ...


def strip(sql: str) -> str:
    """The statement without comments before it and without a semicolon, places unchanged."""
    text = sql.rstrip().removesuffix(";")
    while True:
        match = re.match(r"\s*(--[^\n]*(\n|$)|/\*.*?\*/)", text, re.DOTALL)
        if match is None:
            return text
        text = re.sub(r"[^\n]", " ", match[0]) + text[match.end() :]


def blank(text: str) -> str:
    """As many blanks, and the same lines: what follows keeps its place."""
    return re.sub(r"[^\n]", " ", text)


@dataclass
class Scan:
    """What a statement reads.

    Attributes:
        size: bytes.
        columns: Hive types of the columns of each table, by database and name.
        has_metadata: it reads information_schema or a table's metadata as well.
    """

    size: int = 0
    columns: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    has_metadata: bool = False


class DuckDBEngine:
    """Translates, and lets one in-memory DuckDB compute.

    Args:
        catalog: of tables.
        memory_limit: DuckDB's own.
    """

    def __init__(self, catalog: Catalog, memory_limit: str = "2GB") -> None:
        self.catalog = catalog
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self._database = duckdb.connect(config={"memory_limit": memory_limit, "threads": 2})
        for setting in (
            "integer_division = true",
            "TimeZone = 'UTC'",
            "parquet_metadata_cache = true",
        ):
            self._database.execute(f"set global {setting}")
        install(self._database)
        self._database.execute("create schema files")

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def execute(self, request: Request) -> Outcome:
        """Execute one statement; raises AthenaFailure."""
        from tests.athena_local.ddl import execute_ddl

        sql = strip(request.sql)
        word = re.match(r"\s*(\w*)", sql)
        first = word[1].lower() if word else ""
        if re.match(r"\s*create\s+(or\s+replace\s+)?view\b", sql, re.IGNORECASE):
            return self._create_view(request, sql)
        if first == "create" and _is_ctas(sql):
            return self._create_table_as(request, sql)
        handlers: dict[str, Callable[[Request, str], Outcome]] = {
            "insert": self._insert,
            "merge": self._merge,
            "update": self._change,
            "delete": self._change,
            "unload": self._unload,
            "optimize": self._maintain,
            "vacuum": self._maintain,
            "explain": self._explain,
        }
        if first in ("select", "with", "values", "") or sql.lstrip().startswith("("):
            return self._select(request, sql)
        if first in handlers:
            return handlers[first](request, sql)
        return execute_ddl(self.catalog, sql, request.database)

    # --- reading ---

    @contextmanager
    def _cursor(self, request: Request) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._database.cursor()
        request.interrupt = cursor.interrupt
        try:
            yield cursor
        except duckdb.Error as error:
            raise from_engine(str(error)) from error
        finally:
            request.interrupt = None
            cursor.close()

    def _resolver(
        self, cursor: duckdb.DuckDBPyConnection, database: str, scan: Scan, sql: str
    ) -> translate.Resolve:
        def resolve(table: exp.Table) -> exp.Expression:
            if table.args.get("version") or table.args.get("when"):
                raise not_here("time travel")
            owner, name = (table.db or database).lower(), table.name.lower()
            if owner == "information_schema" or "$" in name:
                scan.has_metadata = True
                return self._metadata(cursor, owner, name)
            described = self.catalog.must_describe(owner, name, _place_of(sql, table))
            scan.columns[owner, name] = columns_of(described)
            return self._stand_in(cursor, self.catalog.source(described), scan)

        return resolve

    def _stand_in(
        self, cursor: duckdb.DuckDBPyConnection, source: View | Files, scan: Scan
    ) -> exp.Expression:
        if isinstance(source, View):
            tree = translate.parse(source.sql)
            # Its columns count as Glue has them; what it reads itself was checked when it was made.
            within = Scan()
            inner = self._resolver(cursor, source.database, within, source.sql)
            placed = translate.place_tables(tree, inner)
            scan.size += within.size
            return exp.Subquery(this=placed)
        scan.size += source.size
        name = uuid.uuid5(uuid.NAMESPACE_URL, source.key).hex
        with self._lock:
            if name not in self._known:
                cursor.execute(f'create or replace view files."{name}" as {source.select}')
                self._known.add(name)
        return exp.Table(this=exp.to_identifier(name, quoted=True), db=exp.to_identifier("files"))

    def _metadata(self, cursor: duckdb.DuckDBPyConnection, owner: str, name: str) -> exp.Expression:
        from tests.athena_local.metadata import metadata_rows

        registered = f"metadata_{uuid.uuid4().hex}"
        cursor.register(registered, metadata_rows(self.catalog, owner, name))
        return exp.Table(this=exp.to_identifier(registered, quoted=True))

    def _translated(
        self, cursor: duckdb.DuckDBPyConnection, request: Request, sql: str
    ) -> tuple[str, Scan]:
        scan = Scan()
        tree = translate.parse(sql)
        if not isinstance(tree, (exp.Query, exp.Values, exp.Subquery)):
            raise AthenaFailure("SYNTAX_ERROR", "line 1:1: mismatched input: a query is expected")
        translate.name_columns(tree)
        translated = translate.to_duckdb(tree, self._resolver(cursor, request.database, scan, sql))
        check_query(sql, request.database, scan.columns, is_whole=not scan.has_metadata)
        return translated, scan

    def _read(self, request: Request, sql: str) -> tuple[list[ResultColumn], pa.Table, int]:
        with self._cursor(request) as cursor:
            translated, scan = self._translated(cursor, request, sql)
            request.may_scan(scan.size)
            cursor.execute(translated)
            columns = _columns(cursor)
            rows = narrow(_arrow(cursor), columns)
        return columns, rows, scan.size

    def _select(self, request: Request, sql: str) -> Outcome:
        columns, rows, scanned = self._read(request, sql)
        return Outcome("select", "DML", "SELECT", columns, texts(rows, columns), scanned=scanned)

    def _explain(self, request: Request, sql: str) -> Outcome:
        query = re.sub(
            r"^\s*explain\b(\s*\([^)]*\))?",
            lambda m: blank(m[0]),
            sql,
            count=1,
            flags=re.IGNORECASE,
        )
        with self._cursor(request) as cursor:
            self._translated(cursor, request, query)
        column = [ResultColumn("Query Plan", "VARCHAR")]
        return Outcome("explain", "UTILITY", "EXPLAIN", column, [["Query Plan"], ["Fragment 0"]])

    # --- writing ---

    def _create_view(self, request: Request, sql: str) -> Outcome:
        match = re.match(
            r"\s*create\s+(or\s+replace\s+)?view\s+(.*?)\s+as\s+(?=[(\w])", sql, re.I | re.S
        )
        if match is None:
            raise AthenaFailure("SYNTAX_ERROR", "line 1:1: mismatched input in CREATE VIEW")
        database, name = relation_name(match[2], request.database)
        query = blank(sql[: match.end()]) + sql[match.end() :]
        with self._cursor(request) as cursor:
            translated, _ = self._translated(cursor, request, query)
            cursor.execute(f"select * from ({translated}) limit 0")
            columns = _columns(cursor)
        _refuse_unknown(columns)
        existing = self.catalog.describe(database, name)
        if existing is not None and (not match[1] or existing.get("TableType") != "VIRTUAL_VIEW"):
            raise AthenaFailure(
                "TABLE_ALREADY_EXISTS", f"line 1:1: '{database}.{name}' already exists"
            )
        text = sql[match.end() :].strip()
        kinds = [(column.name, trino_type(column.duck)) for column in columns]
        content = {
            "Name": name,
            "TableType": "VIRTUAL_VIEW",
            "Parameters": {"presto_view": "true", "comment": "Presto View"},
            "StorageDescriptor": {
                "Columns": [
                    {"Name": column.name, "Type": hive_type(column.duck)} for column in columns
                ],
                "Location": "",
                "SerdeInfo": {},
            },
            "ViewOriginalText": encode_view(text, request.database, kinds),
            "ViewExpandedText": "/* Presto View */",
        }
        write = self.catalog.glue.update_table if existing else self.catalog.glue.create_table
        write(DatabaseName=database, TableInput=content)
        return Outcome("create view", "DDL", "CREATE_VIEW")

    def _create_table_as(self, request: Request, sql: str) -> Outcome:
        head, properties, query = split_ctas(sql)
        database, name = relation_name(head, request.database)
        columns, rows, scanned = self._read(request, query)
        _refuse_unknown(columns)
        if str(properties.get("table_type", "hive")).lower() == "iceberg":
            _check_iceberg_properties(properties)
            self.catalog.create_iceberg(
                database,
                name,
                for_iceberg(rows, columns),
                str(properties.get("location", "")),
                properties.get("partitioning", []),
                {"format-version": "2", "write.parquet.compression-codec": "zstd"},
            )
        else:
            results = f"{request.output}/tables/{request.query_id}"
            create_hive(self.catalog, database, name, rows, columns, properties, results)
        return Outcome(
            "ctas",
            "DDL",
            "CREATE_TABLE_AS_SELECT",
            [ResultColumn("rows", "BIGINT")],
            [[str(len(rows))]],
            len(rows),
            scanned,
        )

    def _insert(self, request: Request, sql: str) -> Outcome:
        target, names, query = split_insert(sql)
        database, name = relation_name(target, request.database)
        described = self.catalog.must_describe(database, name, "line 1:13")
        if described.get("TableType") == "VIRTUAL_VIEW":
            raise AthenaFailure("NOT_SUPPORTED", "line 1:1: Inserting into views is not supported")
        columns, rows, scanned = self._read(request, query)
        target_columns = self._target_columns(request, described)
        rows = fit(rows, columns, target_columns, names)
        if is_iceberg(described):
            if len(rows):
                self.catalog.append(described, rows)
        else:
            insert_hive(self.catalog, described, rows, target_columns)
        return Outcome(
            "insert",
            "DML",
            "INSERT",
            [ResultColumn("rows", "BIGINT")],
            [[str(len(rows))]],
            len(rows),
            scanned,
        )

    def _target_columns(self, request: Request, described: dict[str, Any]) -> list[ResultColumn]:
        with self._cursor(request) as cursor:
            source = self._stand_in(cursor, self.catalog.source(described), Scan())
            cursor.execute(f"select * from {source.sql('duckdb')} limit 0")
            return _columns(cursor)

    def _merge(self, request: Request, sql: str) -> Outcome:
        return self._change(request, sql)

    def _change(self, request: Request, sql: str) -> Outcome:
        """MERGE, UPDATE and DELETE: on a copy of the table, which then replaces its files."""
        tree = translate.parse(sql)
        if not isinstance(tree, (exp.Merge, exp.Update, exp.Delete)):
            raise AthenaFailure("SYNTAX_ERROR", "line 1:1: mismatched input")
        table = tree.this
        database, name = (table.db or request.database).lower(), table.name.lower()
        described = self.catalog.must_describe(database, name, _place_of(sql, table))
        if not is_iceberg(described):
            raise AthenaFailure(
                "NOT_SUPPORTED", "Modifying Hive table rows is only supported for ACID tables"
            )
        scan = Scan()
        with self._cursor(request) as cursor:
            source = self._stand_in(cursor, self.catalog.source(described), scan)
            cursor.execute(f"create temp table changed as select * from {source.sql('duckdb')}")
            alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(name))
            copy = exp.Table(this=exp.to_identifier("changed"), alias=alias)
            table.replace(copy)
            outer = self._resolver(cursor, request.database, scan, sql)

            def resolve(one: exp.Table) -> exp.Expression:
                return one if one is copy else outer(one)

            statement = translate.to_duckdb(tree, resolve)
            request.may_scan(scan.size)
            if isinstance(tree, exp.Merge):
                _refuse_several_matches(cursor, tree, copy)
            count = cursor.execute(statement).fetchall()[0][0]
            if count:
                before = f"select * from {source.sql('duckdb')}"
                self.catalog.overwrite(
                    described,
                    _arrow(cursor.execute("select * from changed")),
                    lambda: _arrow(cursor.execute(f"select * from changed except all {before}")),
                )
        kind = type(tree).__name__.lower()
        return Outcome(
            kind,
            "DML",
            kind.upper(),
            [ResultColumn("rows", "BIGINT")],
            [[str(count)]],
            count,
            scan.size,
        )

    def _unload(self, request: Request, sql: str) -> Outcome:
        query, location, properties = split_unload(sql)
        if str(properties.get("format", "parquet")).lower() != "parquet":
            raise not_here(f"UNLOAD as {properties['format']}")
        if properties.get("partitioned_by"):
            raise not_here("partitioned UNLOAD")
        columns, rows, scanned = self._read(request, query)
        refuse_microseconds(columns)
        refuse_occupied(self.catalog, location)
        storage = parquet_table("", location, columns)["StorageDescriptor"]
        objects = [put_rows(self.catalog, storage, location, rows, columns)] if len(rows) else []
        return Outcome(
            "unload",
            "DML",
            "UNLOAD",
            update_count=len(rows),
            scanned=scanned,
            objects=objects,
        )

    def _maintain(self, request: Request, sql: str) -> Outcome:
        """OPTIMIZE and VACUUM change no row; here they change nothing."""
        match = re.match(r"\s*(optimize|vacuum)\s+([\w.\"]+)", sql, re.IGNORECASE)
        if match is None:
            raise AthenaFailure("SYNTAX_ERROR", "line 1:1: mismatched input")
        described = self.catalog.must_describe(*relation_name(match[2], request.database))
        if not is_iceberg(described):
            raise AthenaFailure("NOT_SUPPORTED", f"{match[1].upper()} is for Iceberg tables only")
        return Outcome(match[1].lower(), "DML", match[1].upper())


# --- parts of statements ------------------------------------------------------------------------


def relation_name(text: str, database: str) -> tuple[str, str]:
    """Database and name of `"catalog"."database"."name"`, of which the first two may lack."""
    parts = [part.strip('"`').lower() for part in re.findall(r'"[^"]*"|`[^`]*`|[\w$]+', text)]
    if not 1 <= len(parts) <= 3:
        raise AthenaFailure("SYNTAX_ERROR", f"line 1:1: mismatched input '{text}'")
    return (parts[-2] if len(parts) > 1 else database.lower()), parts[-1]


def _is_ctas(sql: str) -> bool:
    return (
        re.match(
            r"\s*create\s+(?:or\s+replace\s+)?(?:temp\w*\s+)?table\s+(?:if\s+not\s+exists\s+)?"
            r"[\w.\"$]+\s*(with\s*\(|as\b)",
            sql,
            re.IGNORECASE,
        )
        is not None
    )


def _closing(tokens: Sequence[Token], place: int) -> int:
    depth = 0
    for index in range(place, len(tokens)):
        kind = tokens[index].token_type
        depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
        if depth == 0:
            return index
    raise AthenaFailure("SYNTAX_ERROR", "line 1:1: mismatched input '<EOF>'. Expecting: ')'")


def split_ctas(sql: str) -> tuple[str, dict[str, Any], str]:
    """Name, properties and query of CREATE TABLE AS; the query keeps its place in the text.

    Raises:
        AthenaFailure: it is written in another engine's way.
    """
    tokens = sqlglot.tokenize(sql, dialect="trino")
    words = [token.text.lower() for token in tokens]
    if words[1] != "table":
        where = translate.position(sql, tokens[1].start)
        raise AthenaFailure("SYNTAX_ERROR", f"{where}: mismatched input '{words[1]}'")
    place = 2
    if words[2:5] == ["if", "not", "exists"]:
        raise not_here("CREATE TABLE IF NOT EXISTS AS")
    start = tokens[place].start
    while words[place] not in ("with", "as"):
        place += 1
    head = sql[start : tokens[place].start]
    properties: dict[str, Any] = {}
    if words[place] == "with":
        end = _closing(tokens, place + 1)
        properties = read_properties(sql[tokens[place + 1].start + 1 : tokens[end].start])
        place = end + 1
    if place >= len(tokens) or words[place] != "as":
        raise AthenaFailure("SYNTAX_ERROR", "line 1:1: mismatched input. Expecting: 'AS'")
    cut = tokens[place].end + 1
    return head, properties, blank(sql[:cut]) + sql[cut:]


def read_properties(text: str) -> dict[str, Any]:
    """`key = 'text'`, `key = true`, `key = ARRAY['a', 'b']`, with commas between."""
    pattern = r"(\w+)\s*=\s*(ARRAY\s*\[[^\]]*\]|'(?:[^']|'')*'|[\w.]+)\s*(?:,|$)"
    found: dict[str, Any] = {}
    for key, value in re.findall(pattern, text.strip(), re.IGNORECASE):
        if value.lower().startswith("array"):
            found[key.lower()] = re.findall(r"'([^']*)'", value)
        else:
            found[key.lower()] = value.strip("'").replace("''", "'")
    return found


_ICEBERG_PROPERTIES: Final = frozenset(
    """table_type is_external location format partitioning write_compression compression_level
    vacuum_max_snapshot_age_seconds vacuum_min_snapshots_to_keep vacuum_max_metadata_files_to_keep
    optimize_rewrite_data_file_threshold optimize_rewrite_delete_file_threshold""".split()
)


def _check_iceberg_properties(properties: dict[str, Any]) -> None:
    for name in properties:
        if name not in _ICEBERG_PROPERTIES:
            raise AthenaFailure(
                "INVALID_TABLE_PROPERTY", f"line 1:1: Table property '{name}' does not exist"
            )
    if str(properties.get("is_external", "true")).lower() != "false":
        raise AthenaFailure(
            "INVALID_TABLE_PROPERTY", "External Iceberg tables cannot be made by CTAS"
        )
    if str(properties.get("format", "parquet")).lower() != "parquet":
        raise not_here(f"Iceberg as {properties['format']}")


def split_insert(sql: str) -> tuple[str, list[str], str]:
    """Target, named columns and query of an INSERT; the query keeps its place in the text."""
    tokens = sqlglot.tokenize(sql, dialect="trino")
    words = [token.text.lower() for token in tokens]
    place = 1 if words[0] == "insert into" else 2
    if place == 2 and words[1] != "into":
        raise AthenaFailure("SYNTAX_ERROR", "line 1:8: mismatched input. Expecting: 'INTO'")
    start = tokens[place].start
    place += 1
    while tokens[place].token_type is TokenType.DOT:
        place += 2
    head = sql[start : tokens[place].start]
    names: list[str] = []
    if tokens[place].token_type is TokenType.L_PAREN and words[place + 1] not in (
        *("select", "with", "values", "(", "table"),
    ):
        end = _closing(tokens, place)
        names = [token.text.lower() for token in tokens[place + 1 : end] if token.text != ","]
        place = end + 1
    cut = tokens[place].start
    return head, names, blank(sql[:cut]) + sql[cut:]


def split_unload(sql: str) -> tuple[str, str, dict[str, Any]]:
    """Query, target folder and properties of an UNLOAD; the query keeps its place in the text."""
    tokens = sqlglot.tokenize(sql, dialect="trino")
    if len(tokens) < 2 or tokens[1].token_type is not TokenType.L_PAREN:
        raise AthenaFailure("SYNTAX_ERROR", "line 1:8: mismatched input. Expecting: '('")
    end = _closing(tokens, 1)
    query = blank(sql[: tokens[1].end + 1]) + sql[tokens[1].end + 1 : tokens[end].start]
    rest = sql[tokens[end].end + 1 :]
    match = re.fullmatch(r"\s*to\s+'(s3://[^']+)'\s*with\s*\((.*)\)\s*", rest, re.I | re.S)
    if match is None:
        raise AthenaFailure("SYNTAX_ERROR", "line 1:1: UNLOAD wants TO 's3://...' WITH (...)")
    properties = read_properties(match[2])
    if "format" not in properties:
        raise AthenaFailure("INVALID_TABLE_PROPERTY", "UNLOAD: the property 'format' is missing")
    return query, match[1], properties


def columns_of(described: Mapping[str, Any]) -> dict[str, str]:
    """Names and Hive types of the columns of a table or view."""
    storage = described["StorageDescriptor"]
    return {
        one["Name"]: one["Type"]
        for one in [*storage["Columns"], *described.get("PartitionKeys", [])]
        if one.get("Parameters", {}).get("iceberg.field.current") != "false"
    }


# --- rows ---------------------------------------------------------------------------------------


def _arrow(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    with warnings.catch_warnings():
        # It costs a copy; asking for a relation instead would plan the statement twice.
        warnings.filterwarnings("ignore", "Arrow output on a DB-API result")
        return cursor.to_arrow_table()


def _columns(cursor: duckdb.DuckDBPyConnection) -> list[ResultColumn]:
    return [ResultColumn(one[0].lower(), str(one[1])) for one in cursor.description or []]


def _refuse_unknown(columns: Sequence[ResultColumn]) -> None:
    names = [column.name for column in columns]
    for place, column in enumerate(columns, start=1):
        if re.fullmatch(r"_col\d+", column.name):
            raise AthenaFailure(
                "COLUMN_NAME_NOT_SPECIFIED",
                f"line 1:1: Column name not specified at position {place}",
            )
        if column.athena == "unknown":
            raise AthenaFailure(
                "COLUMN_TYPE_UNKNOWN", f"line 1:1: Column type is unknown: {column.name}"
            )
        if names.count(column.name) > 1:
            raise AthenaFailure(
                "DUPLICATE_COLUMN_NAME",
                f"line 1:1: Column name '{column.name}' specified more than once",
            )


def for_iceberg(rows: pa.Table, columns: Sequence[ResultColumn]) -> pa.Table:
    """The rows with types that Iceberg has.

    Raises:
        AthenaFailure: a moment has another precision than Iceberg's microseconds.
    """
    for column in columns:
        if column.duck in ("TIMESTAMP_MS", "TIMESTAMP_S"):
            digits = 3 if column.duck == "TIMESTAMP_MS" else 0
            raise AthenaFailure(
                "NOT_SUPPORTED",
                f"Timestamp precision ({digits}) not supported for Iceberg. "
                'Use "timestamp(6)" instead.',
            )
        if column.duck in ("SMALLINT", "TINYINT", "JSON", "UUID"):
            raise AthenaFailure(
                "NOT_SUPPORTED", f"Type not supported for Iceberg: {trino_type(column.duck)}"
            )
        hive_type(column.duck)
    return rows.rename_columns([column.name for column in columns])


_FAMILIES: Final = (
    ("number", r"(TINY|SMALL|BIG|HUGE)INT|INTEGER|DOUBLE|FLOAT|DECIMAL\(.*"),
    ("moment", r"DATE|TIMESTAMP.*"),
)


def _fits(given: str, wanted: str) -> bool:
    """INSERT casts between types that have a common one, also to the smaller."""
    families = [
        next((name for name, pattern in _FAMILIES if re.fullmatch(pattern, kind)), kind)
        for kind in (given.removesuffix("[]"), wanted.removesuffix("[]"))
    ]
    is_same = families[0] == families[1] and given.endswith("[]") == wanted.endswith("[]")
    return is_same or given in ("NULL", '"NULL"')


def _converted(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Rounded as a cast does, and refused where it does not fit."""
    number = pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)
    if number and pa.types.is_integer(kind):
        values = pc.round(values, round_mode="half_towards_infinity")
    elif pa.types.is_decimal(values.type) and pa.types.is_decimal(kind):
        values = pc.round(values, min(kind.scale, values.type.scale), "half_towards_infinity")
    try:
        if pa.types.is_decimal(kind):
            # Wide at first: Arrow wants room for every value that the type could have.
            values = values.cast(pa.decimal128(38, kind.scale), safe=False)
        return values.cast(kind, safe=pa.types.is_integer(kind))
    except pa.ArrowInvalid as error:
        raise AthenaFailure("INVALID_CAST_ARGUMENT", f"Out of range for {kind}") from error


def fit(
    rows: pa.Table,
    columns: Sequence[ResultColumn],
    target: Sequence[ResultColumn],
    names: Sequence[str],
) -> pa.Table:
    """The rows with the columns of a table, in its order; what is not named is NULL.

    Raises:
        AthenaFailure: number or types of the columns differ.
    """
    kinds = {column.name: column.duck for column in target}
    wanted = list(names) or list(kinds)
    for name in wanted:
        if name not in kinds:
            raise AthenaFailure(
                "COLUMN_NOT_FOUND", f"line 1:1: Insert column name does not exist in target: {name}"
            )
    given = [column.duck for column in columns]
    matches = len(given) == len(wanted) and all(
        _fits(one, kinds[name]) for one, name in zip(given, wanted, strict=True)
    )
    if not matches:
        table = ", ".join(trino_type(kinds[name]) for name in wanted)
        query = ", ".join(trino_type(one) for one in given)
        raise AthenaFailure(
            "TYPE_MISMATCH",
            "line 1:1: Insert query has mismatched column types: "
            f"Table: [{table}], Query: [{query}]",
        )
    places = {name: place for place, name in enumerate(wanted)}
    made = []
    for column in target:
        kind = arrow_type(column.duck)
        if column.name in places:
            made.append(_converted(rows.column(places[column.name]), kind))
        else:
            made.append(pa.nulls(len(rows), kind))
    return pa.table(made, names=[column.name for column in target])


def arrow_type(duck: str) -> pa.DataType:
    """Arrow's type of a DuckDB type."""
    simple = {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "INTEGER": pa.int32(),
        "SMALLINT": pa.int16(),
        "TINYINT": pa.int8(),
        "DOUBLE": pa.float64(),
        "FLOAT": pa.float32(),
        "BOOLEAN": pa.bool_(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us"),
        "TIMESTAMP_MS": pa.timestamp("ms"),
        "TIMESTAMP_S": pa.timestamp("s"),
        "BLOB": pa.binary(),
    }
    if duck in simple:
        return simple[duck]
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duck):
        return pa.decimal128(int(match[1]), int(match[2]))
    if duck.endswith("[]"):
        return pa.list_(arrow_type(duck[:-2]))
    raise not_here(f"writing DuckDB's type {duck}")


def _refuse_several_matches(
    cursor: duckdb.DuckDBPyConnection, tree: exp.Merge, target: exp.Table
) -> None:
    """A row that would be changed twice has no answer; DuckDB would choose one."""
    using, on = tree.args["using"].sql("duckdb", identify=True), tree.args["on"]
    alias = target.alias
    matched = cursor.execute(
        f"select 1 from {target.sql('duckdb')}"
        f" inner join {using} on {on.sql('duckdb', identify=True)} "
        f'group by "{alias}".rowid having count(*) > 1 limit 1'
    ).fetchall()
    if matched:
        raise AthenaFailure(
            "MERGE_TARGET_ROW_MULTIPLE_MATCHES",
            "One MERGE target table row matched more than one source row",
        )


def _place_of(sql: str, table: exp.Table) -> str:
    """Where a table stands in the text, as Athena says it."""
    parts = [re.escape(part.name) for part in (table.args.get("db"), table.this) if part]
    match = re.search(r'"?\b' + r'"?\."?'.join(parts) + r"\b", sql, re.IGNORECASE)
    return translate.position(sql, match.start() if match else 0)
