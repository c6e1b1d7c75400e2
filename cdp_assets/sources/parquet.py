"""Parquet objects become chunks of text, row batch by row batch.

Not here: text formats (`parse`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cdp_assets.settings import Limits
from cdp_assets.sources.chunk import LINE, Chunk, Layout, lay_out
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.framing import PAYLOAD_CHARACTERS, BoolArray
from cdp_assets.sources.refusal import ObjectRefused, Refusal

_ROWS: Final = 65_536
# Column chunks are read in pieces of this size, not whole.
_READ_BYTES: Final = 1 << 20
# What a damaged file makes Arrow raise; a UnicodeDecodeError, for example, for a column's name.
_DAMAGE: Final = (pa.ArrowException, OSError, ValueError)


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
    try:
        parquet = pq.ParquetFile(handle, pre_buffer=False, buffer_size=_READ_BYTES)
        names = parquet.schema_arrow.names
    except _DAMAGE as error:
        raise ObjectRefused("not_parquet") from error
    groups = map(parquet.metadata.row_group, range(parquet.num_row_groups))
    if sum(group.total_byte_size for group in groups) > limits.object_bytes:
        raise ObjectRefused("too_many_bytes", f"limit {limits.object_bytes} bytes")
    layout = lay_out(contract, names)
    return layout, _chunks(parquet, layout)


def _chunks(parquet: pq.ParquetFile, layout: Layout) -> Iterator[Chunk]:
    places = {**layout.fields, **layout.extras}
    line = 1
    try:
        for batch in parquet.iter_batches(batch_size=_ROWS, columns=list(places)):
            yield _chunk(batch, places, line)
            line += batch.num_rows
    except _DAMAGE as error:
        raise ObjectRefused("not_parquet", f"after record {line - 1}") from error


def _chunk(batch: pa.RecordBatch, places: dict[str, str], line: int) -> Chunk:
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
