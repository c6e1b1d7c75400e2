"""Judging chunks against a contract: good rows typed, broken ones refused with their rule.

Here: running the judging query, and the few looks at single records that it cannot take.
Not here: its text (`query`), the conditions (`rules`), reading chunks (`parse`), phones (`phones`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from cdp_assets.settings import Limits
from cdp_assets.sources.chunk import LINE, RECORD, Chunk, Layout, listed
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.query import (
    FAULT,
    FIRST_CHECK,
    KEY_LISTS,
    RECORD_RULES,
    SUSPICIOUS,
    JudgingQuery,
    Shapes,
    value_fault,
)
from cdp_assets.sources.refusal import ObjectRefused, Refusal, Scope
from cdp_assets.sources.rules import LATEST_EVENT, checks, latest_event
from cdp_assets.sources.strict_json import strict_json_fault

# More undeclared names than this in one object are data, not names.
_MAX_UNDECLARED: Final = 256
# Each shape of objects takes a plan or two; a plan takes some hundred kilobytes.
_MAX_PLANS: Final = 32


@dataclass(frozen=True)
class Judged:
    """A chunk after judgement.

    Attributes:
        rows: the good records, with the columns of `JudgingQuery.columns`.
        refusals: broken records, then broken values of good records.
        new_columns: undeclared columns or keys seen so far in the object.
    """

    rows: pa.Table
    refusals: list[Refusal]
    new_columns: frozenset[str]


class Session:
    """A DuckDB in memory that plans each query once, for the chunks of many objects.

    Planning takes longer than judging a few hundred records. Not safe for several threads.
    """

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"threads": 1, "memory_limit": "1GB"})
        self._connection.execute("set TimeZone = 'UTC'")
        # Nothing that a record holds can make it reach outside memory.
        self._connection.execute("set enable_external_access = false")
        self._connection.execute("set lock_configuration = true")
        self._feeds: dict[tuple[str, pa.Schema], tuple[str, _Feed]] = {}

    def run(self, ctes: str, chunk: pa.Table, latest_event: str = "null::timestamp") -> pa.Table:
        """Run a query, given without its WITH, over the rows of `chunk`.

        Args:
            ctes: common table expressions over `chunk`, then the SELECT.
            chunk: the rows; `latest_event` is added to them.
            latest_event: SQL for the value of that column.
        """
        key = (ctes, chunk.schema)
        if key not in self._feeds:
            self._feeds[key] = self._prepare(ctes, chunk)
        name, feed = self._feeds[key]
        feed.rows = chunk
        return self._connection.sql(f"execute run_{name}({latest_event})").to_arrow_table()

    def close(self) -> None:
        """Free the memory."""
        self._connection.close()

    def _prepare(self, ctes: str, chunk: pa.Table) -> tuple[str, _Feed]:
        if len(self._feeds) >= _MAX_PLANS:
            for name, _ in self._feeds.values():
                self._connection.execute(f"deallocate run_{name}")
                self._connection.unregister(name)
            self._feeds.clear()
        name, feed = f"chunk_{len(self._feeds)}", _Feed(chunk)
        self._connection.register(name, feed)
        self._connection.execute(
            f"prepare run_{name} as with chunk as "
            f"(select *, $1::timestamp as {LATEST_EVENT} from {name}), {ctes}"
        )
        return name, feed


class _Feed:
    """An Arrow source whose rows change under a prepared statement, as a table's would not."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.rows.__arrow_c_stream__(requested_schema)


class Judge:
    """Judges the chunks of one object.

    Args:
        contract: of the object.
        layout: the object's columns (empty for JSON).
        dt: landing day, YYYY-MM-DD.
        limits: nesting and clock skew.
    """

    def __init__(self, contract: Contract, layout: Layout, dt: str, limits: Limits) -> None:
        self._contract = contract
        self._layout = layout
        self._limits = limits
        self._latest_event = latest_event(dt, limits)
        self._checks = checks(contract)
        self._query = JudgingQuery(contract, layout, self._checks, limits.nesting)
        self._new_columns: set[str] = set()

    def judge(self, session: Session, chunk: Chunk) -> Judged:
        """Judge one chunk.

        Raises:
            ObjectRefused: something that the contract freezes on, or names without end.
        """
        shapes = self._shapes(session, chunk)
        judged = session.run(self._query.sql(shapes), chunk.rows, self._latest_event)
        refused = {**self._broken(judged, chunk), **self._not_strict(judged, chunk)}
        values = [value for value in self._broken_values(judged, chunk) if value.row not in refused]
        rows = judged.select(self._query.columns)
        if refused:
            is_kept = np.ones(len(rows), bool)
            is_kept[list(refused)] = False
            rows = rows.filter(pa.array(is_kept))
        refusals = [self._refusal(chunk, fault) for fault in (*refused.values(), *values)]
        return Judged(rows, refusals, frozenset(self._new_columns))

    def _shapes(self, session: Session, chunk: Chunk) -> Shapes:
        """What the field names of a chunk show, judged on distinct lists of them."""
        shapes = Shapes(tuple(self._layout.extras))
        if self._contract.format.kind == "json":
            lists = [
                keys for keys in session.run(KEY_LISTS, chunk.rows)["keys"].to_pylist() if keys
            ]
            # A key with NUL is none: its record is refused as not strict.
            named = {key for keys in lists for key in keys if "\0" not in key}
            undeclared = tuple(sorted(named - self._contract.known_fields))
            shapes = Shapes(undeclared, any(len(set(keys)) < len(keys) for keys in lists))
        self._new_columns.update(shapes.undeclared)
        if len(self._new_columns) > _MAX_UNDECLARED:
            raise ObjectRefused("too_many_columns", f"limit {_MAX_UNDECLARED}")
        if shapes.undeclared and self._contract.drift.column == "freeze":
            raise ObjectRefused("undeclared_column", column=listed(shapes.undeclared)[:200])
        return shapes

    def _broken(self, judged: pa.Table, chunk: Chunk) -> dict[int, _Fault]:
        """Records that break a rule of the contract, by row."""
        return {fault.row: fault for fault in self._faults(judged, FAULT, chunk)}

    def _not_strict(self, judged: pa.Table, chunk: Chunk) -> dict[int, _Fault]:
        """Records that DuckDB reads and strict JSON refuses, by row."""
        rows = _rows(judged[SUSPICIOUS].fill_null(False))
        rules = (
            (row, strict_json_fault(chunk.rows[RECORD][row].as_py(), self._limits.nesting))
            for row in rows
        )
        return {row: _Fault(row, rule) for row, rule in rules if rule}

    def _broken_values(self, judged: pa.Table, chunk: Chunk) -> Iterator[_Fault]:
        """Values that cost no record."""
        for name in self._query.value_checks:
            for fault in self._faults(judged, value_fault(name), chunk):
                yield replace(fault, scope="value")

    def _faults(self, judged: pa.Table, column: str, chunk: Chunk) -> Iterator[_Fault]:
        codes = judged[column]
        if codes.null_count == len(codes):
            return
        found = codes.to_pylist()
        for row in _rows(codes.is_valid()):
            if found[row] < FIRST_CHECK:
                yield _Fault(row, RECORD_RULES[found[row]])
                continue
            check = self._checks[found[row] - FIRST_CHECK]
            if check.policy == "freeze":
                line = chunk.rows[LINE][row].as_py()
                raise ObjectRefused(check.rule, column=check.column, line=line)
            yield _Fault(row, check.rule, check.column)

    @staticmethod
    def _refusal(chunk: Chunk, fault: _Fault) -> Refusal:
        line = chunk.rows[LINE][fault.row].as_py()
        return Refusal(line, fault.rule, chunk.payload(fault.row), fault.column, fault.scope)


@dataclass(frozen=True)
class _Fault:
    """What is wrong with the record in a row of a chunk."""

    row: int
    rule: str
    column: str | None = None
    scope: Scope = "record"


def _rows(flags: pa.ChunkedArray) -> list[int]:
    """Numbers of the rows whose flag is set."""
    return np.flatnonzero(flags.to_numpy()).tolist()
