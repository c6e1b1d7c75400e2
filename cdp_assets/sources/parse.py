"""Records become chunks, whatever the format of their object.

CSV fields become Arrow columns; JSON stays text, since the judging query takes its fields out in
one pass. Not here: where records start (`framing`), Parquet (`parquet`), judging (`validate`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from cdp_assets.settings import Limits
from cdp_assets.sources.chunk import LINE, RECORD, Chunk, Layout, lay_out
from cdp_assets.sources.compression import plain_blocks
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.encoding import checked, utf8_blocks
from cdp_assets.sources.framing import (
    Frame,
    field_counts,
    frames,
    payload_text,
    stray_returns,
)
from cdp_assets.sources.parquet import read_parquet
from cdp_assets.sources.refusal import ObjectRefused, Refusal


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
        return read_parquet(handle, contract, limits)
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
    data = _text_bytes(texts)
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


def _text_bytes(texts: pa.Array) -> pa.Buffer:
    """The bytes of a text array, one record after another."""
    bounds = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :]
    start, end = int(bounds[0]), int(bounds[len(texts)])
    return texts.buffers()[2].slice(start, end - start)


def _text_payload(texts: pa.Array) -> Callable[[int], str]:
    return lambda index: payload_text(texts[index].as_py().encode())
