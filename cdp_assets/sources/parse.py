"""Records become fields: what a contract's columns find in JSON, CSV and Parquet records.

Here: one `Chunk` after another, whatever the format, for `validate` to judge. CSV and Parquet
fields are Arrow columns; JSON stays text, since the judging SQL takes its fields out in one pass.
Not here: where records start (`framing`), whether values are right (`validate`).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from cdp_assets.settings import Limits
from cdp_assets.sources.compression import plain_blocks
from cdp_assets.sources.contracts import Column, Contract
from cdp_assets.sources.encoding import checked, utf8_blocks
from cdp_assets.sources.framing import (
    PAYLOAD_CHARACTERS,
    BoolArray,
    Frame,
    field_counts,
    frames,
    payload_text,
    stray_returns,
)
from cdp_assets.sources.refusal import ObjectRefused, Refusal

LINE: Final = "_line"
RECORD: Final = "record"
_PARQUET_ROWS: Final = 65_536


@dataclass(frozen=True)
class Chunk:
    """Some records of one object, not judged yet.

    Attributes:
        rows: `_line`, then for JSON `record`; else one text column per declared path that the
            object has (named by `Layout.fields`) and per undeclared column (`Layout.extras`).
        payload: the text of the record in a row, for the quarantine.
        refusals: records that were no records.
    """

    rows: pa.Table
    payload: Callable[[int], str]
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """Which columns a CSV or Parquet object has.

    Attributes:
        fields: declared path -> column of `Chunk.rows`.
        extras: undeclared header -> column of `Chunk.rows`.
    """

    fields: dict[str, str]
    extras: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The column of each header, in the object's order."""
        return list({**self.fields, **self.extras}.values())


def read_chunks(
    handle: IO[bytes], contract: Contract, limits: Limits
) -> tuple[Layout, Iterator[Chunk]]:
    """The layout of an object and its records, chunk by chunk.

    Args:
        handle: the stored bytes; with random access for Parquet.
        contract: of the object.
        limits: what one object may cost.

    Raises:
        ObjectRefused: nothing of the object may be kept. Also while the chunks are read.
    """
    if contract.format.kind == "parquet":
        return _read_parquet(handle, contract)
    found = _frames(handle, contract, limits)
    if contract.format.kind == "json":
        return Layout({}, {}), map(_json_chunk, found)
    return _read_csv(found, contract)


def _json_chunk(frame: Frame) -> Chunk:
    rows = pa.table({LINE: pa.array(frame.lines), RECORD: frame.records})
    return Chunk(rows, _text_payload(frame.records), frame.refusals)


def _read_csv(found: Iterator[Frame], contract: Contract) -> tuple[Layout, Iterator[Chunk]]:
    first = next((frame for frame in found if len(frame.records) or frame.refusals), None)
    if first is None:
        return Layout({}, {}), iter(())
    header, first = _header(first, contract)
    layout = lay_out(contract, header)
    chunks = (_csv_chunk(frame, layout, len(header), contract) for frame in chain([first], found))
    return layout, chunks


def _read_parquet(handle: IO[bytes], contract: Contract) -> tuple[Layout, Iterator[Chunk]]:
    if not handle.seek(0, io.SEEK_END):
        return Layout({}, {}), iter(())
    try:
        parquet = pq.ParquetFile(handle)
    except (pa.ArrowInvalid, OSError) as error:
        raise ObjectRefused("not_parquet") from error
    for column in parquet.schema_arrow:
        if pa.types.is_nested(column.type):
            raise ObjectRefused("nested_column", column=column.name)
    layout = lay_out(contract, parquet.schema_arrow.names)
    return layout, _parquet_chunks(parquet, layout)


def lay_out(contract: Contract, header: Sequence[str]) -> Layout:
    """Match an object's header with the contract. The order of columns does not matter.

    Raises:
        ObjectRefused: a header twice; a declared column that is neither there nor optional (under
            drift.table freeze); an undeclared one (under drift.column freeze).
    """
    for name in header:
        if header.count(name) > 1:
            raise ObjectRefused("duplicate_header", column=name[:63])
    declared = [path for column in contract.columns for path in column.paths]
    for column in contract.columns:
        is_absent = not any(path in header for path in column.paths)
        if is_absent and not column.is_optional and contract.drift.table != "evolve":
            raise ObjectRefused("missing_column", _near_miss(column, header), column=column.name)
    places = {name: f"f{index}" for index, name in enumerate(header)}
    extras = {
        name: place
        for name, place in places.items()
        if name not in declared and name not in contract.ignored
    }
    if extras and contract.drift.column == "freeze":
        raise ObjectRefused("undeclared_column", column=", ".join(sorted(extras))[:200])
    return Layout({name: places[name] for name in header if name not in extras}, extras)


def strict_json_fault(text: str, nesting: int) -> str | None:
    """The rule that a record breaks as strict JSON, if any. Slow: for suspicious records only."""
    if _depth(text) > nesting:
        return "too_deep"
    try:
        json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except _DuplicateKeyError:
        return "duplicate_key"
    except (ValueError, RecursionError):
        return "malformed_json"
    return "nul_character" if _NUL_ESCAPE.search(text) else None


class _DuplicateKeyError(Exception):
    pass


_JSON_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUL_ESCAPE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in _JSON_STRING.sub("", text):
        depth += (character in "{[") - (character in "}]")
        deepest = max(deepest, depth)
    return deepest


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _DuplicateKeyError
    return made


def _frames(handle: IO[bytes], contract: Contract, limits: Limits) -> Iterator[Frame]:
    file_format = contract.format
    stored = plain_blocks(handle, file_format.compression, limits)
    text = utf8_blocks(stored, file_format.encoding)
    return (checked(frame) for frame in frames(text, file_format, limits))


def _header(frame: Frame, contract: Contract) -> tuple[list[str], Frame]:
    """The header's names, and the frame without it."""
    if not len(frame.records) or any(r.line < frame.lines[0] for r in frame.refusals):
        raise ObjectRefused("broken_header")
    delimiter, quote = contract.format.delimiter, contract.format.quote
    text = io.StringIO(frame.records[0].as_py().rstrip("\r\n"), newline="")
    try:
        [names] = csv.reader(text, delimiter=delimiter, quotechar=quote, strict=True)
    except (csv.Error, ValueError) as error:
        raise ObjectRefused("broken_header") from error
    rest = Frame(frame.records[1:], frame.lines[1:], frame.offsets[1:], frame.refusals)
    return [name.strip() for name in names], rest


def _near_miss(column: Column, header: Sequence[str]) -> str:
    """Name a header that differs in case or in spaces only: most likely the one meant."""
    wanted = {path.casefold().replace(" ", "") for path in column.paths}
    near = [name for name in header if name.casefold().replace(" ", "") in wanted]
    return f"the contract says {column.paths[0]!r}, the header has {near[0]!r}" if near else ""


def _csv_chunk(frame: Frame, layout: Layout, width: int, contract: Contract) -> Chunk:
    texts, lines, refusals = frame.records, frame.lines, list(frame.refusals)
    delimiter, quote = contract.format.delimiter, contract.format.quote
    has_return = stray_returns(texts, quote)
    is_good = (field_counts(texts, delimiter, quote) == width) & ~has_return
    if not is_good.all():
        for index in np.flatnonzero(~is_good):
            rule = "stray_return" if has_return[index] else "wrong_field_count"
            piece = texts[int(index)].as_py().encode()
            refusals.append(Refusal(int(lines[index]), rule, payload_text(piece)))
        texts, lines = texts.filter(pa.array(is_good)), lines[is_good]
    rows = _csv_rows(texts, [f"f{i}" for i in range(width)], delimiter, quote)
    rows = rows.select(layout.names).append_column(LINE, pa.array(lines))
    return Chunk(rows, _text_payload(texts), refusals)


def _csv_rows(texts: pa.Array, names: list[str], delimiter: str, quote: str) -> pa.Table:
    if not len(texts):
        return pa.table({name: pa.array([], pa.string()) for name in names})
    data = text_bytes(texts)
    rows = pa_csv.read_csv(
        pa.BufferReader(data),
        read_options=pa_csv.ReadOptions(
            use_threads=False, column_names=names, block_size=max(data.size + 1, 1024)
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=delimiter, quote_char=quote, double_quote=True, newlines_in_values=True
        ),
        convert_options=pa_csv.ConvertOptions(
            # Nothing means null but the empty field: "NULL" and "NA" are surnames.
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
        ),
    )
    if rows.num_rows != len(texts):
        raise RuntimeError(f"{len(texts)} CSV records gave {rows.num_rows} rows")
    return rows


def text_bytes(texts: pa.Array) -> pa.Buffer:
    """The bytes of a text array, one record after another."""
    bounds = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :]
    start, end = int(bounds[0]), int(bounds[len(texts)])
    return texts.buffers()[2].slice(start, end - start)


def _text_payload(texts: pa.Array) -> Callable[[int], str]:
    return lambda index: payload_text(texts[index].as_py().encode())


def _parquet_chunks(parquet: pq.ParquetFile, layout: Layout) -> Iterator[Chunk]:
    places = {**layout.fields, **layout.extras}
    line = 1
    try:
        for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS, columns=list(places)):
            yield _parquet_chunk(batch, places, line)
            line += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise ObjectRefused("not_parquet", f"after record {line - 1}") from error


def _parquet_chunk(batch: pa.RecordBatch, places: dict[str, str], line: int) -> Chunk:
    lines = pa.array(np.arange(line, line + batch.num_rows, dtype=np.int64))
    rows = pa.table({places[name]: _as_text(batch.column(name), name) for name in places})
    rows = rows.append_column(LINE, lines)
    payload = _row_payload(batch)
    has_nul = np.zeros(batch.num_rows, bool)
    for place in places.values():
        has_nul |= _has_nul(rows[place].combine_chunks())
    if not has_nul.any():
        return Chunk(rows, payload)
    refusals = [
        Refusal(line + int(index), "nul_character", payload(int(index)))
        for index in np.flatnonzero(has_nul)
    ]
    kept = pa.array(~has_nul)
    return Chunk(rows.filter(kept), _row_payload(batch.filter(kept)), refusals)


def _has_nul(texts: pa.Array) -> BoolArray:
    data = texts.buffers()[2]
    if not data or not data.size or np.frombuffer(data, np.uint8).min() > 0:
        return np.zeros(len(texts), bool)
    return np.array(["\0" in (text or "") for text in texts.to_pylist()])


def _row_payload(batch: pa.RecordBatch) -> Callable[[int], str]:
    def payload(index: int) -> str:
        row = batch.slice(index, 1).to_pylist()[0]
        return json.dumps(row, default=str, ensure_ascii=False)[:PAYLOAD_CHARACTERS]

    return payload


def _as_text(column: pa.Array, name: str) -> pa.Array:
    """Canonical text: decimals exact, time stamps ISO 8601 with their zone, booleans in words."""
    if pa.types.is_dictionary(column.type):
        return _as_text(column.dictionary_decode(), name)
    if pa.types.is_timestamp(column.type):
        zone = column.type.tz
        # As text Arrow writes 2026-01-31 12:00:00.000000, and a Z after it for UTC.
        column = column.cast(pa.timestamp("us", "UTC" if zone else None), safe=False)
    try:
        text = column.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ObjectRefused("invalid_encoding", column=name) from error
    return text
