"""How a statement fails: Athena's own words, category and type.

Here: the failure, and DuckDB's messages as Athena's. Not here: who raises it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

SYSTEM: Final = 1
USER: Final = 2
# What Athena calls an Iceberg error; dbt-athena retries a commit conflict by this number.
ICEBERG_TYPE: Final = 233
_GENERIC_USER_TYPE: Final = 1006


class AthenaFailure(Exception):  # noqa: N818 (a state of a query, not a fault of this program)
    """A statement ends as FAILED.

    Args:
        kind: Athena's name of it, for example `TABLE_NOT_FOUND`.
        message: what follows the name.
        category: 1 of the system, 2 of the user, 3 other.
    """

    def __init__(self, kind: str, message: str, category: int = USER) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.category = category

    @property
    def error_type(self) -> int:
        """Athena's number of the kind of error."""
        return ICEBERG_TYPE if self.kind.startswith("ICEBERG") else _GENERIC_USER_TYPE


class ScanLimitError(Exception):
    """A statement would scan more bytes than its workgroup allows: it ends as CANCELLED."""

    def __init__(self) -> None:
        super().__init__("Query cancelled! : Bytes scanned limit was exceeded")


def not_here(what: str) -> AthenaFailure:
    """Something Athena may do and this server does not: never to be mistaken for an answer."""
    return AthenaFailure("LOCAL_SERVER_CANNOT", what, SYSTEM)


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


_RULES: Final[tuple[tuple[str, Callable[[re.Match[str]], AthenaFailure]], ...]] = (
    # What a repair raises itself carries Athena's name already.
    (
        r"Invalid Input Error: ([A-Z_]{6,}): (.*)",
        lambda m: AthenaFailure(m[1], _first_line(m[2])),
    ),
    (r"LOCAL_SERVER_CANNOT: ([\w ]+)", lambda m: not_here(m[1])),
    (
        r"(?:Referenced (?:column|table)|column named|does not have a column named) \"?([\w.]+)\"?",
        lambda m: AthenaFailure(
            "COLUMN_NOT_FOUND",
            f"line 1:1: Column '{m[1].lower()}' cannot be resolved or requester is not authorized "
            "to access requested resources",
        ),
    ),
    (
        r"[Aa]mbiguous reference to column name \"?(\w+)",
        lambda m: AthenaFailure("AMBIGUOUS_NAME", f"line 1:1: Column '{m[1]}' is ambiguous"),
    ),
    (
        r"must appear in the GROUP BY clause",
        lambda m: AthenaFailure(
            "EXPRESSION_NOT_AGGREGATE",
            "line 1:1: expression must be an aggregate expression or appear in GROUP BY clause",
        ),
    ),
    (r"Division by zero", lambda m: AthenaFailure("DIVISION_BY_ZERO", "Division by zero")),
    (
        r"(?:Out of Range Error|Overflow).*",
        lambda m: AthenaFailure("NUMERIC_VALUE_OUT_OF_RANGE", _first_line(m[0])),
    ),
    (
        r"Cannot (?:compare|mix|combine|deduce).*",
        lambda m: AthenaFailure("TYPE_MISMATCH", f"line 1:1: {_first_line(m[0])}"),
    ),
    (
        r"Conversion Error: (.*)",
        lambda m: AthenaFailure("INVALID_CAST_ARGUMENT", _first_line(m[1])),
    ),
    (
        r"Parser Error: (.*)",
        lambda m: AthenaFailure("SYNTAX_ERROR", f"line 1:1: {_first_line(m[1])}"),
    ),
    (
        r"No function matches.*",
        lambda m: AthenaFailure(
            "TYPE_MISMATCH", f"line 1:1: Unexpected parameters: {_first_line(m[0])}"
        ),
    ),
)


def from_engine(text: str) -> AthenaFailure:
    """DuckDB's message as Athena would put it; what nobody foresaw keeps DuckDB's own words."""
    for pattern, build in _RULES:
        if match := re.search(pattern, text):
            return build(match)
    return AthenaFailure("GENERIC_USER_ERROR", text)
