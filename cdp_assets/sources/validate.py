"""Judging chunks against a contract: good rows typed, broken ones refused with their rule.

Here: one SQL query per chunk, made from the contract, and the few looks that it cannot take.
Not here: the conditions themselves (`rules`), reading chunks (`parse`), phones (`phones`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from cdp_assets.settings import Limits
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.parse import LINE, RECORD, Chunk, Layout, strict_json_fault
from cdp_assets.sources.refusal import ObjectRefused, Refusal
from cdp_assets.sources.rules import (
    LATEST_EVENT,
    Check,
    checks,
    instant,
    latest_event,
    literal,
)

EXTRA: Final = "_extra"
ROW_HASH: Final = "_row_hash"

_FAULT: Final = "_fault"
_SUSPICIOUS: Final = "_suspicious"
# DuckDB's JSON takes NaN and Infinity in any case, strict JSON does not; nor may text hold NUL.
# (It takes a comma before a closing bracket too: nothing is lost by that.) Words that merely
# hold these letters are let go by the pattern; the rest is read again by a strict parser.
_LAX_WORDS: Final = ("NaN", "nan", "NAN", "nf", "INF")
_LAX_PATTERN: Final = r"[:,\[\s-](?i:nan|inf)"
_NUL_ESCAPE: Final = "\\u0000"
# Fault codes below are of the record as a whole; a check's code is its place plus this.
_RECORD_RULES: Final = ("malformed_json", "not_an_object", "duplicate_key", "undeclared_column")
_FIRST_CHECK: Final = len(_RECORD_RULES)


# Distinct by hash: comparing whole lists would double the cost of reading them.
_SHAPES_SQL: Final = f"""
    shapes as (select try(json_keys({RECORD})) as keys from chunk)
    select any_value(keys) as keys from shapes group by hash(keys)
"""


@dataclass(frozen=True)
class Judged:
    """A chunk after judgement.

    Attributes:
        rows: the good records: contract columns as text, derived time stamps, `_extra`,
            `_row_hash`, `_line`.
        refusals: broken records, then broken values of good records.
        new_columns: undeclared columns or keys seen.
    """

    rows: pa.Table
    refusals: list[Refusal]
    new_columns: frozenset[str] = frozenset()


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
        self._is_json = contract.format.kind == "json"
        self._checks = checks(contract)

    def judge(self, session: Session, chunk: Chunk) -> Judged:
        """Judge one chunk.

        Raises:
            ObjectRefused: something that the contract freezes on.
        """
        shapes = self._shapes(session, chunk)
        if shapes.undeclared and self._contract.drift.column == "freeze":
            raise ObjectRefused("undeclared_column", column=", ".join(shapes.undeclared)[:200])
        judged = session.run(self._sql(shapes), chunk.rows, self._latest_event)
        refused = dict(self._broken_records(judged, chunk))
        rows = judged.select([*self._column_names, EXTRA, ROW_HASH, LINE])
        values = list(self._broken_values(judged, chunk, refused))
        if refused:
            is_kept = np.ones(len(rows), bool)
            is_kept[list(refused)] = False
            rows = rows.filter(pa.array(is_kept))
        return Judged(rows, [*refused.values(), *values], frozenset(shapes.undeclared))

    @cached_property
    def _column_names(self) -> list[str]:
        derived = [c.derived_name for c in self._contract.columns if c.type == "timestamp"]
        return [*self._contract.by_name, *(name for name in derived if name)]

    @cached_property
    def _value_checks(self) -> dict[str, list[tuple[int, Check]]]:
        """Checks that cost a value and not its row, by column, with their codes."""
        found: dict[str, list[tuple[int, Check]]] = {}
        for code, check in enumerate(self._checks, _FIRST_CHECK):
            if check.policy in ("evolve", "discard_value"):
                found.setdefault(check.column, []).append((code, check))
        return found

    def _shapes(self, session: Session, chunk: Chunk) -> _Shapes:
        """What the field names of a chunk show, judged on distinct lists of them."""
        if not self._is_json:
            return _Shapes(tuple(self._layout.extras))
        found = session.run(_SHAPES_SQL, chunk.rows)["keys"].to_pylist()
        keys = [shape for shape in found if shape]
        undeclared = {key for shape in keys for key in shape} - self._contract.known_fields
        return _Shapes(
            tuple(sorted(undeclared)), any(len(set(shape)) < len(shape) for shape in keys)
        )

    def _sql(self, shapes: _Shapes) -> str:
        names = list(self._contract.by_name)
        nulled = {
            name
            for name, checks in self._value_checks.items()
            if checks[0][1].policy == "discard_value"
        }
        kept = [
            f"case when _value_fault_{name} is null then {name} end as {name}"
            if name.removesuffix("_utc") in nulled or name in nulled
            else name
            for name in self._column_names
        ]
        values = "".join(
            f", {_first_broken(checks)} as _value_fault_{name}"
            for name, checks in self._value_checks.items()
        )
        instants = "".join(
            f", {instant(column)} as {column.derived_name}"
            for column in self._contract.columns
            if column.type == "timestamp"
        )
        faults = ", ".join(
            [_FAULT, _SUSPICIOUS, *(f"_value_fault_{n}" for n in self._value_checks)]
        )
        hashed = ", ".join(f"coalesce({name}, chr(30))" for name in names)
        return f"""
            texts as ({self._texts_sql(shapes)}),
            instants as (select *{instants} from texts),
            judged as (
                select
                    *,
                    {self._fault_sql(shapes)} as {_FAULT},
                    {self._suspicion_sql()} as {_SUSPICIOUS}
                    {values}
                from instants
            ),
            kept as (select {LINE}, {EXTRA}, {faults}, {", ".join(kept)} from judged)
            select *, md5(concat_ws(chr(31), {hashed})) as {ROW_HASH} from kept
        """

    def _texts_sql(self, shapes: _Shapes) -> str:
        """Every contract column as text, NULL where it is empty or not there."""
        if self._is_json:
            paths = [path for column in self._contract.columns for path in column.paths]
            places = iter(f"nullif(fields[{i}], '')" for i in range(1, len(paths) + 1))
            columns = [
                _coalesce([next(places) for _ in column.paths], column.name)
                for column in self._contract.columns
            ]
            listed = ", ".join(literal(path) for path in paths)
            return f"""
                select
                    {LINE}, {RECORD}, {LATEST_EVENT}, fields is null as is_malformed,
                    {self._extra_sql(shapes)} as {EXTRA}, {", ".join(columns)}
                from (
                    select *, try(json_extract_string({RECORD}, [{listed}])) as fields from chunk
                )
            """
        columns = [
            _coalesce(
                [
                    f"nullif({self._layout.fields[p]}, '')"
                    for p in c.paths
                    if p in self._layout.fields
                ],
                c.name,
            )
            for c in self._contract.columns
        ]
        return f"""
            select
                {LINE}, {LATEST_EVENT}, {self._extra_sql(shapes)} as {EXTRA},
                {", ".join(columns)}
            from chunk
        """

    def _extra_sql(self, shapes: _Shapes) -> str:
        """Undeclared fields as the text of one JSON object."""
        if not shapes.undeclared or self._contract.drift.column != "evolve":
            return "null::varchar"
        members = ", ".join(
            f"{literal(json.dumps(key, ensure_ascii=False) + ':')} || {self._extra_value(key)}"
            for key in shapes.undeclared
        )
        return f"nullif('{{' || concat_ws(',', {members}) || '}}', '{{}}')"

    def _extra_value(self, key: str) -> str:
        if self._is_json:
            pointer = "/" + key.replace("~", "~0").replace("/", "~1")
            return f"try(json_extract({RECORD}, {literal(pointer)}))::varchar"
        return f"to_json(nullif({self._layout.extras[key]}, ''))::varchar"

    def _fault_sql(self, shapes: _Shapes) -> str:
        """The code of the first rule that a record breaks, or NULL."""
        cases: list[tuple[int, str]] = []
        if self._is_json:
            cases += [(0, "is_malformed"), (1, f"not starts_with(ltrim({RECORD}), '{{')")]
        if shapes.has_duplicates:
            keys = f"json_keys({RECORD})"
            cases.append((2, f"len(list_distinct({keys})) < len({keys})"))
        if shapes.undeclared and self._contract.drift.column == "discard_row":
            cases.append((3, self._has_undeclared(shapes.undeclared)))
        cases += [
            (code, check.is_broken)
            for code, check in enumerate(self._checks, _FIRST_CHECK)
            if check.policy in ("discard_row", "freeze")
        ]
        return _case(cases)

    def _has_undeclared(self, undeclared: Sequence[str]) -> str:
        if self._is_json:
            listed = ", ".join(literal(key) for key in undeclared)
            return f"list_has_any(json_keys({RECORD}), [{listed}])"
        return "true"

    def _suspicion_sql(self) -> str:
        """Whether a record may be JSON to DuckDB and not to the standard."""
        if not self._is_json:
            return "false"
        words = " or ".join(f"contains({RECORD}, '{word}')" for word in _LAX_WORDS)
        deep = " + ".join(
            f"strlen({RECORD}) - strlen(replace({RECORD}, '{bracket}', ''))" for bracket in "{["
        )
        return f"""
            contains({RECORD}, '{_NUL_ESCAPE}') or {deep} > {self._limits.nesting}
            or case when {words} then regexp_matches({RECORD}, '{_LAX_PATTERN}') else false end
        """

    def _broken_records(self, judged: pa.Table, chunk: Chunk) -> Iterator[tuple[int, Refusal]]:
        """Row number and refusal of every record that is not kept."""
        lines = judged[LINE]
        suspicious = _rows(judged[_SUSPICIOUS].fill_null(False))
        strict = {
            index: rule
            for index in suspicious
            if (rule := strict_json_fault(chunk.rows[RECORD][index].as_py(), self._limits.nesting))
        }
        broken = _rows(judged[_FAULT].is_valid())
        for index in sorted({*strict, *broken}):
            rule, column = strict.get(index), None
            if rule is None:
                rule, column = self._rule(judged[_FAULT][index].as_py(), lines[index].as_py())
            yield index, Refusal(lines[index].as_py(), rule, chunk.payload(index), column)

    def _rule(self, code: int, line: int) -> tuple[str, str | None]:
        if code < _FIRST_CHECK:
            return _RECORD_RULES[code], None
        check = self._checks[code - _FIRST_CHECK]
        if check.policy == "freeze":
            raise ObjectRefused(check.rule, column=check.column, line=line)
        return check.rule, check.column

    def _broken_values(
        self, judged: pa.Table, chunk: Chunk, refused: dict[int, Refusal]
    ) -> Iterator[Refusal]:
        for name in self._value_checks:
            codes = judged[f"_value_fault_{name}"]
            if codes.null_count == len(codes):
                continue
            for index in _rows(codes.is_valid()):
                if index not in refused:
                    check = self._checks[codes[index].as_py() - _FIRST_CHECK]
                    line = judged[LINE][index].as_py()
                    yield Refusal(line, check.rule, chunk.payload(index), name, scope="value")


@dataclass(frozen=True)
class _Shapes:
    """What the field names of a chunk show."""

    undeclared: tuple[str, ...] = ()
    has_duplicates: bool = field(default=False)


def _rows(flags: pa.ChunkedArray) -> list[int]:
    """Numbers of the rows whose flag is set."""
    return np.flatnonzero(flags.to_numpy()).tolist()


def _coalesce(places: list[str], name: str) -> str:
    if not places:
        return f"null::varchar as {name}"
    return (
        f"coalesce({', '.join(places)}) as {name}" if len(places) > 1 else f"{places[0]} as {name}"
    )


def _first_broken(checks: Sequence[tuple[int, Check]]) -> str:
    return _case([(code, check.is_broken) for code, check in checks])


def _case(cases: Sequence[tuple[int, str]]) -> str:
    if not cases:
        return "null::smallint"
    whens = " ".join(f"when {condition} then {code}" for code, condition in cases)
    return f"(case {whens} end)::smallint"
