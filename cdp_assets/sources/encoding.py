"""Declared encodings: other ones become utf-8 on the way in, and bytes that are none are refused.

Not here: Unicode normalisation, which cleansed does beside the raw value.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Final

import numpy as np
import pyarrow as pa

from cdp_assets.sources.framing import Frame, payload_text
from cdp_assets.sources.refusal import ObjectRefused, Refusal

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def utf8_blocks(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The same text in utf-8, without a byte-order mark.

    Declared utf-8 passes unjudged here: `checked` judges it record by record.

    Raises:
        ObjectRefused: a byte-order mark of another encoding, or (not for utf-8) bytes that the
            declared encoding does not have.
    """
    first = next(blocks, b"")
    # A mark is four bytes at most; a block that is shorter may hide half of one.
    while 0 < len(first) < 4 and (more := next(blocks, b"")):
        first += more
    declared = codecs.lookup(encoding).name
    marked = next((name for mark, name in _MARKS if first.startswith(mark)), declared)
    if not declared.startswith(marked):
        raise ObjectRefused("wrong_encoding", f"it is {marked}, the contract says {declared}")
    if declared == "utf-8":
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from blocks
    else:
        yield from _transcoded(first, blocks, encoding)


def checked(frame: Frame) -> Frame:
    """The frame with its records as text; those with bytes outside utf-8, or NUL, are refused."""
    if _is_clean(frame.records):
        return replace(frame, records=frame.records.cast(pa.string(), safe=False))
    faults = [
        _fault(piece, int(line), int(offset))
        for piece, line, offset in zip(
            frame.records.to_pylist(), frame.lines, frame.offsets, strict=True
        )
    ]
    is_good = np.array([fault is None for fault in faults])
    return Frame(
        frame.records.filter(pa.array(is_good)).cast(pa.string()),
        frame.lines[is_good],
        frame.offsets[is_good],
        [*frame.refusals, *(fault for fault in faults if fault)],
    )


def _is_clean(records: pa.Array) -> bool:
    data = records.buffers()[2]
    if not len(records) or data is None:
        return True
    if np.frombuffer(data, np.uint8).min() == 0:
        return False
    try:
        records.cast(pa.string(), safe=False).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _fault(piece: bytes, line: int, offset: int) -> Refusal | None:
    try:
        piece.decode()
    except UnicodeDecodeError as error:
        rule, at = "invalid_encoding", error.start
    else:
        rule, at = "nul_character", piece.find(0)
    if at < 0:
        return None
    return Refusal(line, rule, payload_text(piece), detail=f"byte offset {offset + at}")


def _transcoded(first: bytes, blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    seen = decoded = 0
    try:
        for block in chain([first], blocks):
            yield decoder.decode(block).encode()
            # What the decoder holds back is the start of what it sees next.
            held, _ = decoder.getstate()
            seen += len(block)
            decoded = seen - len(held)
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        # UTF-16 without its byte-order mark raises one that names no place: it is the first byte.
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        raise ObjectRefused("invalid_encoding", f"byte offset {decoded + start}") from None
