"""Parquet objects become chunks of text, row batch by row batch.

Not here: text formats (`parse`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cdp_assets.settings import Limits
from cdp_assets.sources.chunk import LINE, Chunk, Layout, lay_out
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.framing import PAYLOAD_CHARACTERS, BoolArray, IntArray
from cdp_assets.sources.refusal import ObjectRefused, Refusal

_ROWS: Final = 65_536
# Column chunks are read in pieces of this size, not whole.
_READ_BYTES: Final = 1 << 20
# What a damaged file makes Arrow raise: a UnicodeDecodeError or a KeyError for a column's name.
_DAMAGE: Final = (pa.ArrowException, OSError, ValueError, KeyError)


def read_parquet(
    handle: IO[bytes], contract: Contract, limits: Limits
) -> tuple[Layout, Iterator[Chunk]]:
    """The layout of a Parquet object and its rows, as text.

    Args:
        handle: the stored bytes, with random access.
        contract: of the object.
        limits: what one object may cost.

    Raises:
        ObjectRefused: nothing of the object may be kept. Also while the chunks are read.
    """
    if not handle.seek(0, io.SEEK_END):
        return Layout({}, {}), iter(())
    parquet = _opened(handle)
    metadata = parquet.metadata
    try:
        names = parquet.schema_arrow.names
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        repeated = sorted({name for group in groups for name in _with_dictionary(group)})
    except _DAMAGE as error:
        raise ObjectRefused("not_parquet") from error
    size = sum(group.total_byte_size for group in groups)
    if size > limits.object_bytes:
        raise _too_many_bytes(limits)
    layout = lay_out(contract, names)
    # In its file, a value that repeats is there once; read so, too, it is there once in memory.
    parquet = _opened(handle, metadata=metadata, read_dictionary=repeated)
    bytes_per_row = max(size // max(metadata.num_rows, 1), 1)
    rows = max(1, min(_ROWS, limits.chunk_bytes // bytes_per_row))
    wanted = [*layout.fields, *layout.extras]
    batches = _counted(parquet.iter_batches(rows, columns=wanted), metadata.num_rows)
    return layout, _chunks(batches, layout, limits)


def _counted(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The batches, if together they have as many rows as the file says it has."""
    found = 0
    for batch in batches:
        found += batch.num_rows
        yield batch
    if found != rows:
        raise ObjectRefused("not_parquet", f"{found} records in place of {rows}")


def _opened(handle: IO[bytes], **options: Any) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(handle, pre_buffer=False, buffer_size=_READ_BYTES, **options)
    except _DAMAGE as error:
        raise ObjectRefused("not_parquet") from error


def _with_dictionary(group: Any) -> Iterator[str]:
    """Columns of texts that a row group keeps as a dictionary."""
    for number in range(group.num_columns):
        column = group.column(number)
        has_one = any("DICTIONARY" in encoding for encoding in column.encodings)
        if has_one and column.physical_type == "BYTE_ARRAY":
            yield column.path_in_schema


def _too_many_bytes(limits: Limits) -> ObjectRefused:
    return ObjectRefused("too_many_bytes", f"limit {limits.object_bytes} bytes")


def _chunks(batches: Iterator[pa.RecordBatch], layout: Layout, limits: Limits) -> Iterator[Chunk]:
    places = {**layout.fields, **layout.extras}
    line, total = 1, 0
    try:
        for batch in batches:
            sizes = _row_bytes(batch)
            total += int(sizes.sum())
            if total > limits.object_bytes:
                raise _too_many_bytes(limits)
            for start, end in _pieces(sizes, limits.chunk_bytes):
                piece, is_large = batch.slice(start, end - start), sizes[start:end]
                yield _chunk(piece, places, line + start, is_large > limits.record_bytes)
            line += batch.num_rows
    except _DAMAGE as error:
        raise ObjectRefused("not_parquet", f"after record {line - 1}") from error


def _row_bytes(batch: pa.RecordBatch) -> IntArray:
    """How much text each row is, without making it."""
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        is_coded = pa.types.is_dictionary(column.type)
        lengths = _lengths(column.dictionary if is_coded else column)
        if lengths is not None:
            lengths = lengths.take(column.indices) if is_coded else lengths
            total += lengths.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return total


def _lengths(texts: pa.Array) -> Any:
    kind = texts.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return (
        pc.call_function("binary_length", [texts]) if is_text or pa.types.is_binary(kind) else None
    )


def _pieces(sizes: IntArray, limit: int) -> Iterator[tuple[int, int]]:
    """Runs of rows of about `limit` bytes together, none of them empty: start and end."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        end = max(int(np.searchsorted(ends, before + limit, side="right")), start + 1)
        yield start, end
        start = end


def _chunk(batch: pa.RecordBatch, places: dict[str, str], line: int, is_large: BoolArray) -> Chunk:
    lines = pa.array(np.arange(line, line + batch.num_rows, dtype=np.int64))
    rows = pa.table({places[name]: _as_text(batch.column(name), name) for name in places})
    rows = rows.append_column(LINE, lines)
    payload = _row_payload(batch)
    has_nul = np.zeros(batch.num_rows, bool)
    for place in places.values():
        has_nul |= _has_nul(rows[place].combine_chunks())
    is_broken = has_nul | is_large
    if not is_broken.any():
        return Chunk(rows, payload)
    refusals = [
        Refusal(
            line + int(index),
            "record_too_large" if is_large[index] else "nul_character",
            payload(int(index)),
        )
        for index in np.flatnonzero(is_broken)
    ]
    kept = pa.array(~is_broken)
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
    if pa.types.is_nested(column.type):
        raise ObjectRefused("no_text_form", column=name)
    if pa.types.is_dictionary(column.type):
        return _as_text(column.dictionary_decode(), name)
    if pa.types.is_timestamp(column.type):
        zone = column.type.tz
        # As text Arrow writes 2026-01-31 12:00:00.000000, and a Z after it for UTC.
        column = column.cast(pa.timestamp("us", "UTC" if zone else None), safe=False)
    try:
        text = column.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowNotImplementedError as error:
        raise ObjectRefused("no_text_form", column=name) from error
    except pa.ArrowInvalid as error:
        raise ObjectRefused("invalid_encoding", column=name) from error
    return text
