"""Why a record or an object is not loaded: the rules by name, and what to do about each.

Here: `Refusal` (one record or value), `ObjectRefused` (the whole object) and the advice per rule.
Not here: finding broken records (`framing`, `parse`, `validate`); storing them (`quarantine`).
A message never carries a value: only where it is, which rule it broke and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["object", "record", "value"]

# Rule -> what is wrong, and what to do. Every rule that can be found is here.
RULES: Final[dict[str, str]] = {
    # Whole objects.
    "truncated_gzip": "the gzip stream ends early; deliver the object again",
    "not_gzip": "the contract says gzip, the bytes are not; compress it or mend the contract",
    "unknown_compression": "the object is compressed in a way the contract does not declare",
    "corrupt_gzip": "the gzip stream is damaged; deliver the object again",
    "too_many_bytes": "more decompressed bytes than limits.object_bytes; split the object",
    "gzip_ratio": "it expands more than limits.gzip_ratio allows, as a gzip bomb does",
    "wrong_encoding": "a byte-order mark of another encoding than the contract's; declare it",
    "broken_header": "the first line is no CSV header; mend the export",
    "missing_column": "a declared column is absent; deliver it, or declare it optional",
    "duplicate_header": "two columns have one header; name them apart",
    "undeclared_column": "a column that the contract does not declare; declare it or drop it",
    "too_many_columns": "more undeclared columns than an object may have; send names, not data",
    "not_parquet": "the bytes are no Parquet file; deliver the object again",
    "no_text_form": "a Parquet column holds lists, structs or the like; flatten it",
    # Records.
    "record_too_large": "the record is over limits.record_bytes; split it",
    "invalid_encoding": "bytes that the declared encoding does not have; mend the export",
    "nul_character": "a NUL character; mend the export",
    "unclosed_quote": "a quoted field does not end; close or double the quote",
    "stray_quote": "a quote inside a field is not doubled; double it",
    "stray_return": "a carriage return alone ends no line; end lines with LF or CR LF",
    "wrong_field_count": "another number of fields than the header has; quote the delimiter",
    "malformed_json": "not strict JSON; mend the sender",
    "not_an_object": "a JSON value that is not an object; mend the sender",
    "duplicate_key": "a JSON key is given twice; mend the sender",
    "too_deep": "JSON nested deeper than limits.nesting",
    # Values.
    "required": "the value is missing; deliver it",
    "not_allowed": "the value is none of the allowed ones; declare it or mend the sender",
    "not_integer": "not a whole number",
    "not_decimal": "not a decimal number of the declared precision",
    "not_date": "not a date of the form YYYY-MM-DD",
    "excel_serial_date": "a spreadsheet's day number where a date belongs; export dates as text",
    "excel_number": "a spreadsheet's rounded number (1.23E+10); export the column as text",
    "not_timestamp": "not a time stamp of the form 2026-01-31T12:00:00Z",
    "timestamp_without_zone": "no time zone; send an offset or Z, or declare the timezone",
    "out_of_range": "a year outside 1900 to 2199",
    "event_in_future": "later than the landing day and limits.future_skew_hours allow",
    "not_boolean": "none of true, false, yes, no, 1, 0",
    "not_json": "not JSON",
}


@dataclass(frozen=True)
class Refusal:
    """One record, or one value of a record, that was not taken.

    Attributes:
        line: physical line, 1-based (record number for Parquet and concatenated JSON).
        rule: a key of `RULES`.
        payload: the record's text, as far as `quarantine.PAYLOAD_CHARACTERS`.
        column: the column it was found in, or None.
        scope: record, or value when the record was loaded without it.
        detail: more about where, for example a byte offset; never a value.
    """

    line: int
    rule: str
    payload: str
    column: str | None = None
    scope: Scope = "record"
    detail: str = ""


class ObjectRefused(Exception):  # noqa: N818 - an outcome, not a fault of ours
    """The object as a whole cannot be taken; nothing of it is kept.

    Args:
        rule: a key of `RULES`.
        detail: more about where; never a value.
        column: the column it was found in, or None.
        line: where it was found, or None.
    """

    def __init__(
        self, rule: str, detail: str = "", column: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(rule)
        self.rule = rule
        self.detail = detail
        self.column = column
        self.line = line
