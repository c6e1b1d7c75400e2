"""Arrow strings from numbers, without a Python loop over rows.

Here: fixed-width digits, UUIDs, timestamps, money and templates as Arrow arrays, and how arrays of
pieces become the bytes of an object. Belongs here: a way to write any value as text.
Not here: which pieces a channel writes (its own module), or what people write (writing.py).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute

Strings: TypeAlias = pa.Array  # of pa.string()

# Arrow makes these functions at import, where no type checker sees them.
kernels: Any = pyarrow.compute

_HEX = np.frombuffer(b"".join(b"%02x" % i for i in range(256)), dtype=np.uint8).reshape(256, 2)
_ASCII_ZERO = 48
_DAY_MS = 86_400_000
_MARK = ord("#")
_FIRST_DATE = np.datetime64("1900-01-01", "D")


def strings(values: Sequence[str]) -> Strings:
    """A small vocabulary as an Arrow array."""
    return pa.array(list(values), pa.string())


def fixed(matrix: np.ndarray) -> Strings:
    """One string per row of an (n, width) uint8 matrix of ASCII codes."""
    count, width = matrix.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    data = np.ascontiguousarray(matrix)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))


def digits(values: np.ndarray, width: int) -> np.ndarray:
    """The last `width` decimal digits as an (n, width) uint8 matrix of ASCII codes."""
    out = np.empty((len(values), width), dtype=np.uint8)
    rest = np.asarray(values).astype(np.uint32 if width <= 9 else np.uint64)
    for place in range(width - 1, -1, -1):
        rest, out[:, place] = np.divmod(rest, rest.dtype.type(10))
    out += _ASCII_ZERO
    return out


def numbers(values: np.ndarray, width: int) -> Strings:
    """Whole numbers padded with zeros to `width`."""
    return fixed(digits(values, width))


def hexadecimal(bits: np.ndarray) -> np.ndarray:
    """uint64 as an (n, 16) matrix of hex digits."""
    octets = np.ascontiguousarray(bits).view(np.uint8).reshape(len(bits), 8)
    return _HEX[octets].reshape(len(bits), 16)


def uuids(high: np.ndarray, low: np.ndarray) -> Strings:
    """Version 4 shaped UUIDs from two arrays of 64 bits."""
    digits_32 = np.concatenate([hexadecimal(high), hexadecimal(low)], axis=1)
    out = np.full((len(high), 36), ord("-"), dtype=np.uint8)
    for start, stop, at in ((0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)):
        out[:, at : at + stop - start] = digits_32[:, start:stop]
    out[:, 14] = ord("4")
    out[:, 19] = ord("a")
    return fixed(out)


@lru_cache(maxsize=1)
def _clock() -> np.ndarray:
    seconds = np.arange(86_400)
    out = np.full((86_400, 8), ord(":"), dtype=np.uint8)
    for at, value in ((0, seconds // 3600), (3, seconds // 60 % 60), (6, seconds % 60)):
        out[:, at : at + 2] = digits(value, 2)
    return out


@lru_cache(maxsize=1)
def _calendar() -> np.ndarray:
    span = np.arange(_FIRST_DATE, "2040-01-01", dtype="datetime64[D]")
    return np.datetime_as_string(span).astype("S10").view(np.uint8).reshape(len(span), 10)


def _dates(days: np.ndarray) -> np.ndarray:
    return _calendar()[days - _FIRST_DATE.astype(np.int64)]


def dates(days: np.ndarray) -> Strings:
    """Days since 1970-01-01 as YYYY-MM-DD; 1900 to 2039."""
    return fixed(_dates(days))


def instants(ms: np.ndarray, fraction: bool = True, suffix: str = "Z") -> Strings:
    """Milliseconds since 1970-01-01 as YYYY-MM-DDTHH:MM:SS[.mmm] and `suffix`."""
    days, of_day = np.divmod(ms, _DAY_MS)
    seconds, millis = np.divmod(of_day, 1000)
    tail = np.frombuffer(suffix.encode(), dtype=np.uint8)
    width = 23 if fraction else 19
    out = np.empty((len(ms), width + len(tail)), dtype=np.uint8)
    out[:, :10] = _dates(days)
    out[:, 10] = ord("T")
    out[:, 11:19] = _clock()[seconds]
    if fraction:
        out[:, 19] = ord(".")
        out[:, 20:23] = digits(millis, 3)
    out[:, width:] = tail
    return fixed(out)


def decimals(cents: np.ndarray) -> pa.Array:
    """Hundredths as exact decimal128(18, 2)."""
    words = np.empty((len(cents), 2), dtype=np.int64)
    words[:, 0] = cents
    words[:, 1] = np.asarray(cents) >> 63
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(words)])


def money(cents: np.ndarray) -> Strings:
    """Hundredths as plain text, for example -12.50."""
    return kernels.cast(decimals(cents), pa.string())


def whole(values: np.ndarray) -> Strings:
    """Whole numbers as plain text, without padding."""
    return kernels.cast(pa.array(values), pa.string())


def stamp(templates: Sequence[str], which: np.ndarray, digit_matrix: np.ndarray) -> Strings:
    """Fill the `#` marks of template `which[i]` with the digits of row i, from the left.

    Args:
        templates: ASCII patterns.
        which: (n,) index into `templates`.
        digit_matrix: (n, w) ASCII digits; a template has at most w marks.
    """
    width = max(map(len, templates))
    text = np.zeros((len(templates), width), dtype=np.uint8)
    for row, template in enumerate(templates):
        text[row, : len(template)] = np.frombuffer(template.encode("ascii"), dtype=np.uint8)
    is_mark = text == _MARK
    source = np.where(is_mark, np.cumsum(is_mark, axis=1) - 1, 0)
    rows = np.arange(len(which))[:, None]
    out = np.where(is_mark[which], digit_matrix[rows, source[which]], text[which])
    lengths = np.array([len(t) for t in templates], dtype=np.int32)[which]
    offsets = np.zeros(len(which) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.StringArray.from_buffers(
        len(which), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(out[out != 0]))
    )


def take(vocabulary: pa.Array, index: np.ndarray, where: np.ndarray | None = None) -> Strings:
    """`vocabulary[index]`, null where `where` is false."""
    at = pa.array(index, mask=None if where is None else ~where)
    return vocabulary.take(at)


def only(where: np.ndarray, values: pa.Array) -> Strings:
    """`values`, null where `where` is false."""
    return kernels.if_else(pa.array(where), values, pa.scalar(None, pa.string()))


def either(where: np.ndarray, yes: pa.Array | str, no: pa.Array | str) -> Strings:
    """`yes` where `where` is true, else `no`."""
    return kernels.if_else(pa.array(where), yes, no)


def choose(which: np.ndarray, *options: pa.Array | str) -> Strings:
    """`options[which[i]]` of row i."""
    return kernels.choose(pa.array(which), *options)


def join(*pieces: pa.Array | str) -> Strings:
    """Row-wise concatenation; null where any piece is null."""
    return kernels.binary_join_element_wise(*pieces, "")


def filled(values: pa.Array, default: str = "") -> Strings:
    """`values` with `default` for null."""
    return kernels.fill_null(values, default)


def first_of(*options: pa.Array) -> Strings:
    """The first option of each row that is not null."""
    return kernels.coalesce(*options)


def concatenated(lines: pa.Array) -> memoryview:
    """All strings of `lines` end to end, without a copy."""
    if not len(lines):
        return memoryview(b"")
    _, offset_buffer, data = lines.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)
    start, stop = offsets[lines.offset], offsets[lines.offset + len(lines)]
    return memoryview(data)[start:stop]


def gzipped(data: memoryview) -> bytes:
    """One gzip member, level 1, with no time stamp: equal input gives equal bytes."""
    return zlib.compress(data, level=1, wbits=31)
