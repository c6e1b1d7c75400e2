"""The one query that judges a chunk, as SQL text made from a contract (DuckDB).

Here: how texts, instants, faults and the row hash become one SELECT. Not here: the conditions
(`rules`), running the query (`validate`).

The query reads `chunk` and has one row per record, in order: the contract's columns, the derived
time stamps, `_extra`, `_row_hash`, `_line`, and the codes of what is broken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cdp_assets.sources.chunk import LINE, RECORD, Layout
from cdp_assets.sources.contracts import Column, Contract
from cdp_assets.sources.rules import LATEST_EVENT, Check, instant, literal

EXTRA: Final = "_extra"
ROW_HASH: Final = "_row_hash"
# The code of the first rule that a record breaks, or NULL.
FAULT: Final = "_fault"
# Whether a record may be JSON to DuckDB and not to the standard.
SUSPICIOUS: Final = "_suspicious"

# Fault codes of a record as a whole, then those of the checks in their order.
RECORD_RULES: Final = ("malformed_json", "not_an_object", "duplicate_key", "undeclared_column")
FIRST_CHECK: Final = len(RECORD_RULES)

# DuckDB's JSON takes NaN and Infinity, strict JSON does not; nor may text hold NUL. (It takes a
# comma before a closing bracket too: nothing is lost by that.) Words that merely hold these
# letters are let go by the pattern; what is left is read again by a strict parser.
_LAX_WORDS: Final = ("NaN", "nan", "NAN", "nf", "INF")
_LAX_PATTERN: Final = r"[:,\[\s-](?i:nan|inf)"
_NUL_ESCAPE: Final = "\\u0000"

# Distinct by hash: comparing whole lists would double the cost of reading them.
KEY_LISTS: Final = f"""
    key_lists as (select try(json_keys({RECORD})) as keys from chunk)
    select any_value(keys) as keys from key_lists group by hash(keys)
"""


@dataclass(frozen=True)
class Shapes:
    """What the field names of a chunk show.

    Attributes:
        undeclared: columns or top-level keys that the contract does not know, sorted.
        has_duplicates: a JSON record gives a top-level key twice.
    """

    undeclared: tuple[str, ...] = ()
    has_duplicates: bool = False


@dataclass(frozen=True)
class JudgingQuery:
    """Everything that the SQL text depends on.

    Attributes:
        contract: of the object.
        layout: the object's columns (empty for JSON).
        checks: of the contract, in the order of their codes.
        nesting: how deep JSON may be nested.
    """

    contract: Contract
    layout: Layout
    checks: Sequence[Check]
    nesting: int

    def sql(self, shapes: Shapes) -> str:
        """Common table expressions over `chunk`, then the SELECT; without the WITH."""
        columns = self.contract.columns
        hashed = ", ".join(f"coalesce({column.name}, chr(30))" for column in columns)
        instants = [
            f"{instant(column)} as {column.derived_name}"
            for column in columns
            if column.type == "timestamp"
        ]
        values = [
            f"{_case(coded)} as {value_fault(name)}" for name, coded in self.value_checks.items()
        ]
        judged = [
            "*",
            f"{self._fault(shapes)} as {FAULT}",
            f"{self._suspicion()} as {SUSPICIOUS}",
            *values,
        ]
        kept = [
            LINE,
            EXTRA,
            FAULT,
            SUSPICIOUS,
            *map(value_fault, self.value_checks),
            *(self._kept_text(column) for column in columns),
            *(self._kept_instant(column) for column in columns if column.type == "timestamp"),
        ]
        return f"""
            texts as ({self._texts(shapes)}),
            instants as (select {", ".join(["*", *instants])} from texts),
            judged as (select {", ".join(judged)} from instants),
            kept as (select {", ".join(kept)} from judged)
            select *, md5(concat_ws(chr(31), {hashed})) as {ROW_HASH} from kept
        """

    @property
    def columns(self) -> list[str]:
        """The columns of a good row."""
        instants = [c.derived_name for c in self.contract.columns if c.type == "timestamp"]
        return [*self.contract.by_name, *filter(None, instants), EXTRA, ROW_HASH, LINE]

    @cached_property
    def value_checks(self) -> dict[str, list[tuple[int, str]]]:
        """By column: codes and conditions of the checks that cost a value and not its row."""
        found: dict[str, list[tuple[int, str]]] = {}
        for code, check in enumerate(self.checks, FIRST_CHECK):
            if check.policy in ("evolve", "discard_value"):
                found.setdefault(check.column, []).append((code, check.is_broken))
        return found

    @property
    def _is_json(self) -> bool:
        return self.contract.format.kind == "json"

    def _texts(self, shapes: Shapes) -> str:
        """Every contract column as text, NULL where it is empty or not there."""
        extra = f"{self._extra(shapes)} as {EXTRA}"
        if not self._is_json:
            found = self.layout.fields
            texts = [
                _first_text([found[path] for path in column.paths if path in found], column.name)
                for column in self.contract.columns
            ]
            return f"select {', '.join([LINE, LATEST_EVENT, extra, *texts])} from chunk"
        paths = [path for column in self.contract.columns for path in column.paths]
        places = iter(f"fields[{index}]" for index in range(1, len(paths) + 1))
        texts = [
            _first_text([next(places) for _ in column.paths], column.name)
            for column in self.contract.columns
        ]
        listed = ", ".join(map(literal, paths))
        return f"""
            select
                {", ".join([LINE, RECORD, LATEST_EVENT, extra, *texts])},
                fields is null as is_malformed
            from (select *, try(json_extract_string({RECORD}, [{listed}])) as fields from chunk)
        """

    def _extra(self, shapes: Shapes) -> str:
        """Undeclared fields as the text of one JSON object."""
        if not shapes.undeclared or self.contract.drift.column != "evolve":
            return "null::varchar"
        members = ", ".join(
            f"{literal(json.dumps(name, ensure_ascii=False) + ':')} || {self._extra_value(name)}"
            for name in shapes.undeclared
        )
        return f"nullif('{{' || concat_ws(',', {members}) || '}}', '{{}}')"

    def _extra_value(self, name: str) -> str:
        if not self._is_json:
            return f"to_json(nullif({self.layout.extras[name]}, ''))::varchar"
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        return f"try(json_extract({RECORD}, {literal(pointer)}))::varchar"

    def _fault(self, shapes: Shapes) -> str:
        cases: list[tuple[int, str]] = []
        if self._is_json:
            cases += [(0, "is_malformed"), (1, f"not starts_with(ltrim({RECORD}), '{{')")]
        if shapes.has_duplicates:
            keys = f"json_keys({RECORD})"
            cases.append((2, f"len(list_distinct({keys})) < len({keys})"))
        if shapes.undeclared and self.contract.drift.column == "discard_row":
            listed = ", ".join(map(literal, shapes.undeclared))
            has_any = f"list_has_any(json_keys({RECORD}), [{listed}])"
            cases.append((3, has_any if self._is_json else "true"))
        cases += [
            (code, check.is_broken)
            for code, check in enumerate(self.checks, FIRST_CHECK)
            if check.policy in ("discard_row", "freeze")
        ]
        return _case(cases)

    def _suspicion(self) -> str:
        if not self._is_json:
            return "false"
        words = " or ".join(f"contains({RECORD}, '{word}')" for word in _LAX_WORDS)
        depth = " + ".join(
            f"strlen({RECORD}) - strlen(replace({RECORD}, '{bracket}', ''))" for bracket in "{["
        )
        return f"""(
            contains({RECORD}, '{_NUL_ESCAPE}') or {depth} > {self.nesting}
            or case when {words} then regexp_matches({RECORD}, '{_LAX_PATTERN}') else false end
        )"""

    def _kept_text(self, column: Column) -> str:
        if column.name in self.value_checks and self.contract.policy(column) == "discard_value":
            fault = value_fault(column.name)
            return f"case when {fault} is null then {column.name} end as {column.name}"
        return column.name

    def _kept_instant(self, column: Column) -> str:
        """An instant stands only while its text does: evolve keeps the text alone."""
        name = str(column.derived_name)
        if column.name in self.value_checks:
            return f"case when {value_fault(column.name)} is null then {name} end as {name}"
        return name


def value_fault(name: str) -> str:
    """Column that holds the code of what is wrong with a value, or NULL."""
    return f"_value_fault_{name}"


def _first_text(places: Sequence[str], name: str) -> str:
    texts = [f"nullif({place}, '')" for place in places] or ["null::varchar"]
    return f"coalesce({', '.join(texts)}) as {name}" if len(texts) > 1 else f"{texts[0]} as {name}"


def _case(coded: Sequence[tuple[int, str]]) -> str:
    if not coded:
        return "null::smallint"
    whens = " ".join(f"when {condition} then {code}" for code, condition in coded)
    return f"(case {whens} end)::smallint"
