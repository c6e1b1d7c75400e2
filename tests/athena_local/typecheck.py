"""What Trino refuses and DuckDB would settle by itself.

Here: an alias that is read where Trino has none yet (WHERE, GROUP BY, beside itself), and types
that do not compare or mix: text against number, date against text, as far as sqlglot can tell
them. What it cannot tell passes. Not here: anything that changes a statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from tests.athena_local.errors import AthenaFailure

Columns = Mapping[str, str]

_CATALOG: Final = "awsdatacatalog"
_COMPARED: Final = (
    exp.EQ,
    exp.NEQ,
    exp.LT,
    exp.LTE,
    exp.GT,
    exp.GTE,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
)


def check_query(
    sql: str, database: str, tables: Mapping[tuple[str, str], Columns], *, is_whole: bool
) -> None:
    """Refuse a query that reads names or mixes types as Trino would not.

    Args:
        sql: one query.
        database: of short names.
        tables: Hive types of the columns of each table it reads, by database and name.
        is_whole: `tables` has all of them; else names are not judged.

    Raises:
        AthenaFailure: a COLUMN_NOT_FOUND or a TYPE_MISMATCH.
    """
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for (owner, name), columns in tables.items():
        schema.setdefault(owner, {})[name] = {
            column: _trino(kind) for column, kind in columns.items()
        }
    try:
        tree = qualify(
            sqlglot.parse_one(sql, dialect="trino"),
            dialect="trino",
            db=database,
            catalog=_CATALOG,
            schema={_CATALOG: schema} if schema else None,
            expand_alias_refs=False,
            validate_qualify_columns=is_whole,
            quote_identifiers=False,
        )
        tree = annotate_types(tree, schema={_CATALOG: schema} if schema else None, dialect="trino")
    except OptimizeError as error:
        if match := re.search(r"Column '([^']*)' could not be resolved", str(error)):
            name = match[1].replace('"', "").rpartition(".")[2].lower()
            raise AthenaFailure(
                "COLUMN_NOT_FOUND",
                f"line 1:1: Column '{name}' cannot be resolved or requester is not authorized to "
                "access requested resources",
            ) from error
        return
    except SqlglotError:
        # What sqlglot's optimizer does not understand, DuckDB judges.
        return
    for operator, left, right in _pairs(tree):
        families = _family(left), _family(right)
        if None not in families and not _agree(*families):
            kinds = f"{_spelled(left)} {operator} {_spelled(right)}"
            raise AthenaFailure("TYPE_MISMATCH", f"line 1:1: Cannot apply operator: {kinds}")


def _trino(kind: str) -> str:
    return {"string": "varchar", "int": "integer", "binary": "varbinary", "float": "real"}.get(
        kind, kind.replace("<", "(").replace(">", ")")
    )


Pair = tuple[str, exp.Expr, exp.Expr]


def _pairs(tree: exp.Expr) -> Iterator[Pair]:
    """What has to be of one type, two by two."""
    for node in tree.walk():
        if isinstance(node, (*_COMPARED, exp.DPipe)):
            yield node.key, node.this, node.expression
        elif isinstance(node, exp.SetOperation):
            for left, right in zip(node.left.selects, node.right.selects, strict=False):
                yield "union", left, right
        else:
            for one in _beside(node):
                yield node.key, _first(node), one


def _first(node: exp.Expr) -> exp.Expr:
    return node.args["ifs"][0].args["true"] if isinstance(node, exp.Case) else node.this


def _beside(node: exp.Expr) -> list[exp.Expr]:
    """What has to be of the type of the first value of a node."""
    if isinstance(node, (exp.In, exp.Coalesce)):
        return node.expressions
    if isinstance(node, exp.Between):
        return [node.args["low"], node.args["high"]]
    if isinstance(node, exp.Case):
        branches = [branch.args["true"] for branch in node.args["ifs"][1:]]
        return branches + [node.args["default"]] * bool(node.args.get("default"))
    return []


def _family(node: exp.Expr) -> str | None:
    kind = node.type
    if kind is None or kind.this in (exp.DType.UNKNOWN, exp.DType.NULL):
        return None
    for family, kinds in (
        ("text", exp.DataType.TEXT_TYPES),
        ("number", exp.DataType.NUMERIC_TYPES),
        ("moment", exp.DataType.TEMPORAL_TYPES),
        ("boolean", {exp.DType.BOOLEAN}),
    ):
        if kind.this in kinds:
            return family
    return None


def _agree(left: str | None, right: str | None) -> bool:
    return left == right


def _spelled(node: exp.Expr) -> str:
    return node.type.sql("trino").lower() if node.type is not None else "unknown"
