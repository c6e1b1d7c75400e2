"""A contract's rules as SQL conditions: what makes a value broken, and which rule it breaks.

Here: pure functions from a contract to SQL text (DuckDB). Not here: running it (`validate`).
Every name in the text comes from a contract, whose names are allow-listed; every literal is
quoted by `literal`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cdp_assets.settings import Limits
from cdp_assets.sources.contracts import Column, Contract, Policy

# Column of the judged rows that holds the last instant an event may have.
LATEST_EVENT: Final = "latest_event"

_YEARS: Final = ("1900-01-01", "2200-01-01")
_DATE: Final = r"\d{4}-\d{2}-\d{2}"
_CLOCK: Final = r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
_ZONE: Final = r"(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)"
_INTEGER: Final = r"[+-]?\d{1,18}"
_EPOCH: Final = r"-?\d{1,14}(\.\d{1,6})?"
# Excel keeps 15 digits: it shows a phone number as 4.15555E+9.
_EXCEL_NUMBER: Final = r"\d[.,]?\d*[eE]\+?\d{1,2}"
_EXCEL_DAY: Final = r"\d{4,5}(\.\d+)?"


@dataclass(frozen=True)
class Check:
    """One way in which a value can be broken.

    Attributes:
        column: that it is found in.
        rule: a key of `refusal.RULES`.
        is_broken: SQL condition over the text columns and the derived time stamps.
        policy: what happens to the value, its row or its object.
    """

    column: str
    rule: str
    is_broken: str
    policy: Policy


def literal(text: str) -> str:
    """SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def checks(contract: Contract) -> list[Check]:
    """Every check of a contract, the graver of one column first.

    The conditions speak of `latest_event`, the last instant that an event may have.
    """
    made: list[Check] = []
    for column in contract.columns:
        policy = contract.policy(column)
        if column.is_required:
            row_policy: Policy = "freeze" if policy == "freeze" else "discard_row"
            made.append(Check(column.name, "required", f"{column.name} is null", row_policy))
        made += [Check(column.name, rule, broken, policy) for rule, broken in _broken(column)]
        if column.name in (contract.event_time, contract.version_column):
            in_future = f"{column.derived_name} > {LATEST_EVENT}"
            made.append(Check(column.name, "event_in_future", in_future, policy))
    return made


def latest_event(dt: str, limits: Limits) -> str:
    """SQL for the last instant that an event of a landing day may have."""
    latest = datetime.fromisoformat(dt) + timedelta(days=1, hours=limits.future_skew_hours)
    return f"timestamp '{latest}'"


def instant(column: Column) -> str:
    """SQL for the UTC instant of a time stamp column, NULL when its text is none.

    To the millisecond, the rest cut off: Athena reads no finer ones from raw files.
    """
    name = column.name
    if column.unit:
        factor = 1_000_000 if column.unit == "s" else 1_000
        epoch = f"try_cast(try_cast({name} as decimal(24, 6)) * {factor} as bigint)"
        moment = f"date_trunc('millisecond', make_timestamp({epoch}))"
        return f"case when {_matches(name, _EPOCH)} then {moment} end"
    zoned = f"try_cast({name} as timestamptz)::timestamp"
    cases = f"when {_matches(name, _DATE + _CLOCK + _ZONE)} then {zoned}"
    if column.timezone:
        local = f"timezone({literal(column.timezone)}, try_cast({name} as timestamp))::timestamp"
        cases += f" when {_matches(name, _DATE + _CLOCK)} then {local}"
    # Nearly all values have this one form, which is read four times faster without a pattern.
    usual = f"try_strptime({name}, '%Y-%m-%dT%H:%M:%S.%gZ')"
    others = f"date_trunc('millisecond', case {cases} end)"
    return f"coalesce(case when strlen({name}) = 24 then {usual} end, {others})"


def _broken(column: Column) -> Iterator[tuple[str, str]]:
    """Rule and condition for each way in which a value can miss its type."""
    name = column.name
    if column.allowed:
        allowed = ", ".join(literal(value) for value in column.allowed)
        yield "not_allowed", f"{name} not in ({allowed})"
    match column.type:
        case "integer":
            yield "not_integer", f"not {_matches(name, _INTEGER)}"
        case "decimal":
            whole, scale = column.precision - column.scale, column.scale
            digits = rf"[+-]?0*\d{{1,{max(whole, 1)}}}(\.\d{{0,{scale}}}0*)?"
            yield "excel_number", _matches(name, _EXCEL_NUMBER)
            yield "not_decimal", f"not {_matches(name, digits)}"
        case "date":
            value = f"try_cast({name} as date)"
            yield "excel_serial_date", _matches(name, _EXCEL_DAY)
            yield (
                "not_date",
                f"{name} is not null and (not {_matches(name, _DATE)} or {value} is null)",
            )
            yield "out_of_range", _outside_years(value)
        case "timestamp":
            yield from _broken_timestamp(column)
        case "boolean":
            words = "'true', 'false', '1', '0', 'yes', 'no'"
            yield "not_boolean", f"lower({name}) not in ({words})"
        case "json" if not column.paths[0].startswith("$"):
            yield "not_json", f"not json_valid({name})"
        case "phone":
            yield "excel_number", _matches(name, _EXCEL_NUMBER)
        case _:
            return


def _broken_timestamp(column: Column) -> Iterator[tuple[str, str]]:
    name, utc = column.name, column.derived_name
    missed = f"{name} is not null and {utc} is null"
    if not column.unit and not column.timezone:
        # A case, since DuckDB would match the pattern against every value of a conjunction.
        local = f"case when {missed} then {_matches(name, _DATE + _CLOCK)} else false end"
        yield "timestamp_without_zone", local
    yield "not_timestamp", missed
    yield "out_of_range", _outside_years(str(utc))


def _outside_years(value: str) -> str:
    first, end = _YEARS
    return f"({value} < '{first}' or {value} >= '{end}')"


def _matches(name: str, pattern: str) -> str:
    return f"regexp_full_match({name}, '{pattern}')"
