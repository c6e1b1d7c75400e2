"""What may be told of an error of DuckDB: its text without the values of records.

A row that breaks a constraint or a cast is in the error's text, and that text goes to logs, to
Dagster's event log and to terminals. Not here: who runs SQL (`warehouse`, `dbt/confined`).
"""

from __future__ import annotations

import re
from typing import Final

import duckdb

# Raised before any row is read: these quote the statement, and no data is part of one.
_OF_THE_STATEMENT: Final = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.TransactionException,
    duckdb.IOException,
    duckdb.HTTPException,
)
# From the first quote to the last, or to the end: a value may hold quotes of its own.
_QUOTED: Final = re.compile(r"[\"'`](.*[\"'`]|.*)", re.DOTALL)
_NUMBER: Final = re.compile(r"\d{4,}")
_LONGEST: Final = 300


def told(error: duckdb.Error) -> str:
    """The text of an error without what may be a value."""
    text = str(error)
    if isinstance(error, duckdb.PermissionException):
        return f"{text} (after a home was moved, `cdp run` shows it where its files are)"
    if isinstance(error, _OF_THE_STATEMENT):
        return text
    # Below stands the statement that failed, which the caller knows, or the value once more.
    text = _QUOTED.sub("(a value)", text.partition("\n\nLINE ")[0]).partition("\n")[0]
    return _NUMBER.sub("(a number)", text)[:_LONGEST]
