"""Plain bytes become records: JSON lines, concatenated JSON, CSV records.

Here: where a record starts and ends, and its physical line. Work is done on whole chunks with
numpy; memory is a few times `limits.chunk_bytes`, or one record. Not here: what a record says.

A splitter cuts a chunk into pieces that leave no byte out; what is blank or broken is a piece
that is not kept. The tail that may go on in the next chunk is left for the next call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from cdp_assets.settings import Limits
from cdp_assets.sources.contracts import FileFormat
from cdp_assets.sources.refusal import Refusal

PAYLOAD_CHARACTERS: Final = 4096

IntArray = np.ndarray[tuple[int], np.dtype[np.int64]]
BoolArray = np.ndarray[tuple[int], np.dtype[np.bool_]]

# What may stand between two objects, for a place to go on that two chunks share.
_JOINT_BYTES: Final = 64
_TELLING_WIDTH: Final = 4
_DECODER: Final = json.JSONDecoder()
_OBJECT_START: Final = re.compile(r"\s*(?=\{)")
_NEWLINE: Final = 0x0A
_SPACES: Final = np.frombuffer(b" \t\r\n", np.uint8)
_BEFORE_VALUE: Final = np.frombuffer(b":,[ \t\r\n", np.uint8)
# numpy compares bytes fastest on pieces that stay in the cache.
_SCAN_BYTES: Final = 1 << 18


@dataclass(frozen=True)
class Frame:
    """Some records, one after another.

    Attributes:
        records: binary; each holds its own line end.
        lines: the physical line of each (its number, for concatenated JSON).
        offsets: where each starts, in bytes of the decompressed object.
        refusals: records that could not be framed.
    """

    records: pa.Array
    lines: IntArray
    offsets: IntArray
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class Split:
    """How a chunk falls into pieces.

    Attributes:
        ends: where each piece ends; the first starts at 0.
        lines: the line of each piece.
        is_kept: False for a blank or broken piece.
        next_line: the line after the last piece.
        refusals: of the broken pieces.
    """

    ends: IntArray
    lines: IntArray
    is_kept: BoolArray
    next_line: int
    refusals: list[Refusal] = field(default_factory=list)


class Splitter(Protocol):
    """One way of writing records one after another."""

    # Where reading may go on after a record that is too large to look at.
    resume: re.Pattern[bytes]
    # Whether a record's line is a physical line, or its number.
    has_lines: bool

    def split(self, data: bytes, line: int, *, is_last: bool) -> Split:
        """Cut `data`, whose first byte is on `line`.

        With `is_last` nothing may be left over; where records are lines, `data` ends with one.
        """
        ...


def frames(blocks: Iterator[bytes], file_format: FileFormat, limits: Limits) -> Iterator[Frame]:
    """Cut a stream of blocks into frames of about `limits.chunk_bytes`."""
    framer = _Framer(splitter_for(file_format, limits), limits)
    for chunk, is_last in _chunks(blocks, limits.chunk_bytes):
        yield from framer.feed(chunk, is_last=is_last)


def splitter_for(file_format: FileFormat, limits: Limits) -> Splitter:
    """The splitter of a text format."""
    if file_format.kind == "csv":
        return CsvSplitter(file_format.delimiter, file_format.quote, limits.record_bytes)
    return (
        ConcatenatedSplitter(limits.record_bytes)
        if file_format.framing == "concatenated"
        else LineSplitter()
    )


def positions(data: bytes | memoryview, byte: int) -> IntArray:
    """Where a byte occurs."""
    view = np.frombuffer(data, np.uint8)
    found = [
        np.flatnonzero(view[start : start + _SCAN_BYTES] == byte) + start
        for start in range(0, len(view), _SCAN_BYTES)
    ]
    return np.concatenate(found) if found else np.empty(0, np.int64)


class LineSplitter:
    """One record a line, ended by LF or CR LF. Blank lines are no records."""

    resume = re.compile(rb"\n")
    has_lines = True

    def split(self, data: bytes, line: int, *, is_last: bool) -> Split:
        """Cut at every line end."""
        ends = positions(data, _NEWLINE) + 1
        lines = line + np.arange(len(ends), dtype=np.int64)
        return Split(ends, lines, ~_is_blank(data, ends), line + len(ends))


class CsvSplitter:
    """RFC 4180 records: a quoted field may hold line ends; its quotes are doubled inside.

    A quote anywhere else breaks its record, and so does one that makes several lines a record with
    another number of fields than the first one. Then the first of those lines alone is refused
    and reading goes on at the next, so that an open quote does not swallow good records.
    """

    resume = re.compile(rb"\n")
    has_lines = True

    def __init__(self, delimiter: str, quote: str, record_bytes: int) -> None:
        self._delimiter = ord(delimiter)
        self._quote = ord(quote)
        self._record_bytes = record_bytes
        self._width: int | None = None
        q, d = re.escape(quote.encode()), re.escape(delimiter.encode())
        quoted = rb"%b(?:[^%b]++|%b%b)*+" % (q, q, q, q)
        # A carriage return alone is left to the parser, which knows what to call it.
        field = rb"(?:%b%b|[^%b%b\n]*+)" % (quoted, q, q, d)
        # Possessive throughout: a record that does not match fails in one pass.
        self._record = re.compile(rb"%b(?:%b%b)*+\r?(?:\n|\Z)" % (field, d, field))
        self._open_record = re.compile(rb"(?:%b%b)*+%b\Z" % (field, d, quoted))

    def split(self, data: bytes, line: int, *, is_last: bool) -> Split:
        """Cut at the line ends outside quotes."""
        split = self._split_at_once(data, line, is_last=is_last)
        if split is None:
            split = self._split_one_by_one(data, line, is_last=is_last)
        return split

    def _split_at_once(self, data: bytes, line: int, *, is_last: bool) -> Split | None:
        """Cut at the line ends after an even number of quotes; None when that cannot be right."""
        quotes = positions(data, self._quote)
        if not quotes.size and self._width is not None:
            return LineSplitter().split(data, line, is_last=is_last)
        newlines = positions(data, _NEWLINE)
        ends = newlines[np.searchsorted(quotes, newlines) % 2 == 0] + 1
        cut = int(ends[-1]) if ends.size else 0
        must_end = is_last or len(data) - cut > self._record_bytes
        if must_end and cut < len(data):
            return None
        if not self._is_well_quoted(data, quotes[: np.searchsorted(quotes, cut)]):
            return None
        lines_before = np.searchsorted(newlines, np.append(0, ends))
        is_kept = ~_is_blank(data, ends)
        starts = np.append(0, ends)
        several_lines = np.flatnonzero(np.diff(lines_before) > 1)
        for index in (*np.flatnonzero(is_kept)[:1], *several_lines):
            if not self._is_one_record(data[starts[index] : ends[index]]):
                return None
        return Split(ends, line + lines_before[:-1], is_kept, line + int(lines_before[-1]))

    def _is_well_quoted(self, data: bytes, quotes: IntArray) -> bool:
        """Every opening quote starts a field, every closing quote ends one."""
        view = np.frombuffer(data, np.uint8)
        opening, closing = quotes[0::2], quotes[1::2]
        before = view[np.maximum(opening - 1, 0)]
        after = view[np.minimum(closing + 1, len(view) - 1)]
        starts = np.isin(before, [self._delimiter, _NEWLINE, self._quote]) | (opening == 0)
        return bool(starts.all() and np.isin(after, [self._delimiter, *b"\r\n", self._quote]).all())

    def _split_one_by_one(self, data: bytes, line: int, *, is_last: bool) -> Split:
        ends: list[int] = []
        lines: list[int] = []
        kept: list[bool] = []
        refusals: list[Refusal] = []
        start = 0
        while start < len(data):
            end = self._record_end(data, start, is_last=is_last)
            if end is None:
                break
            is_whole = end > 0
            if not is_whole:
                end = data.find(b"\n", start) + 1 or len(data)
                refusals.append(self._broken(data[start:end], line))
            piece = data[start:end]
            ends.append(end)
            lines.append(line)
            kept.append(is_whole and not piece.isspace())
            line += piece.count(b"\n")
            start = end
        return Split(
            np.array(ends, np.int64),
            np.array(lines, np.int64),
            np.array(kept, bool),
            line,
            refusals,
        )

    def _record_end(self, data: bytes, start: int, *, is_last: bool) -> int | None:
        """The end of the record at `start`, 0 when it is broken, None when more bytes may tell."""
        match = self._record.match(data, start)
        if match and (is_last or data[match.end() - 1] == _NEWLINE):
            return match.end() if self._is_one_record(data[start : match.end()]) else 0
        if is_last:
            return 0
        if data.find(b"\n", start) < 0:
            return None
        may_go_on = match or self._open_record.match(data, start)
        return None if may_go_on and len(data) - start <= self._record_bytes else 0

    def _is_one_record(self, piece: bytes) -> bool:
        """Tell whether lines that quotes join are one record, and not records that they swallow.

        One record has the width of the first one, and none of its inner lines is a record itself.
        """
        if piece.isspace():
            return True
        width = int(
            _field_counts(piece, np.array([0, len(piece)]), self._delimiter, self._quote)[0]
        )
        if self._width is None:
            self._width = width
        lines = piece.removesuffix(b"\n").split(b"\n")
        if len(lines) == 1:
            return True
        return width == self._width and not any(map(self._is_record, lines[1:-1]))

    def _is_record(self, line: bytes) -> bool:
        # As many delimiters as the header has, three or more: no sentence has that by chance.
        width = line.count(self._delimiter) + 1
        return width == self._width and width >= _TELLING_WIDTH and self._quote not in line

    def _broken(self, piece: bytes, line: int) -> Refusal:
        rule = "unclosed_quote" if piece.count(self._quote) % 2 else "stray_quote"
        return Refusal(line, rule, payload_text(piece))


class ConcatenatedSplitter:
    """JSON objects one after another, with or without white space between them.

    The line of a record is its number. `}` and then `{` is never inside strict JSON, so objects
    are cut there; only pieces whose quotes or braces do not add up are looked at one by one.
    """

    resume = re.compile(rb"\}\s*(?=\{)")
    has_lines = False
    # An object that no value of an open one can be: the open one was cut short.
    _fresh_object = re.compile(r"(?<=[^:,\[\s])\s*(?=\{\s*\")")

    def __init__(self, record_bytes: int) -> None:
        self._record_bytes = record_bytes

    def split(self, data: bytes, line: int, *, is_last: bool) -> Split:
        """Cut before every object that follows another; the last one may go on."""
        quotes = _unescaped_quotes(data)
        opens, closes = positions(data, 0x7B), positions(data, 0x7D)
        ends = np.intersect1d(_skip_spaces(data, closes + 1), opens)
        if is_last and data:
            ends = np.append(ends, len(data))
        bounds = np.append(0, ends)
        # Cut inside a string: so it seems from there on, until a string ends.
        is_inside = np.searchsorted(quotes, bounds) % 2 == 1
        balance = np.diff(np.searchsorted(opens, bounds) - np.searchsorted(closes, bounds))
        is_odd = is_inside[:-1] | is_inside[1:] | (balance != 0) | _hides_object(data, opens, ends)
        if not is_last:
            # Odd pieces at the end may be one object with `}{` in its text: it may go on.
            whole = len(ends) - int(np.argmin(np.append(is_odd[::-1], False)))
            if len(data) - bounds[whole] <= self._record_bytes:
                ends, is_odd = ends[:whole], is_odd[:whole]
        ends = self._mended(data, ends, is_odd)
        is_kept = ~_is_blank(data, ends)
        return Split(ends, line + np.cumsum(is_kept) - 1, is_kept, line + int(is_kept.sum()))

    def _mended(self, data: bytes, ends: IntArray, is_odd: BoolArray) -> IntArray:
        """Look again at pieces that do not add up, each run of them together."""
        if not is_odd.any():
            return ends
        starts = np.append(0, ends[:-1])
        cuts = list(ends[~is_odd])
        runs = np.flatnonzero(np.diff(np.concatenate(([False], is_odd, [False])).astype(np.int8)))
        for first, after in runs.reshape(-1, 2):
            start = int(starts[first])
            run = data[start : ends[after - 1]].decode("latin-1")
            cuts += [start + cut for cut in self._cut(run)]
        return np.unique(np.array(cuts, np.int64))

    def _cut(self, run: str) -> Iterator[int]:
        """Where whole objects end, and where new ones start after broken ones."""
        at = 0
        while at < len(run):
            at = _object_end(run, at) or self._next_object(run, at)
            yield at

    def _next_object(self, run: str, at: int) -> int:
        fresh = self._fresh_object.search(run, at + 1)
        return fresh.end() if fresh else len(run)


def payload_text(piece: bytes) -> str:
    """A record as the quarantine keeps it: readable, and not longer than it takes."""
    text = piece[: PAYLOAD_CHARACTERS * 4].decode("utf-8", "backslashreplace")
    return text.rstrip("\r\n")[:PAYLOAD_CHARACTERS].replace("\0", "\\x00")


class _Framer:
    """Keeps what one chunk leaves over for the next."""

    def __init__(self, splitter: Splitter, limits: Limits) -> None:
        self._splitter = splitter
        self._limits = limits
        self._data = b""
        self._line = 1
        self._offset = 0
        self._is_skipping = False

    def feed(self, chunk: bytes, *, is_last: bool) -> Iterator[Frame]:
        """The records that end in this chunk."""
        self._data += chunk
        if self._is_skipping:
            self._skip()
        if self._is_skipping:
            return
        if is_last and self._splitter.has_lines and not self._data.endswith(b"\n"):
            self._data += b"\n"
        split = self._splitter.split(self._data, self._line, is_last=is_last)
        if split.ends.size:
            yield _frame(self._data, split, self._offset, self._limits)
            self._drop(int(split.ends[-1]), split.next_line)
        if len(self._data) > self._limits.record_bytes:
            yield _only_refusal(_too_large(self._line, self._data, self._limits))
            self._is_skipping = True

    def _skip(self) -> None:
        """Drop bytes up to the next place where a record may start, if it is in sight."""
        match = self._splitter.resume.search(self._data)
        dropped = match.end() if match else max(len(self._data) - _JOINT_BYTES, 0)
        has_lines = self._splitter.has_lines
        passed = self._data.count(b"\n", 0, dropped) if has_lines else bool(match)
        self._drop(dropped, self._line + passed)
        self._is_skipping = match is None

    def _drop(self, count: int, next_line: int) -> None:
        self._data = self._data[count:]
        self._offset += count
        self._line = next_line


def _chunks(blocks: Iterator[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """Join blocks to chunks of at least `size`; the last one, perhaps empty, is marked."""
    held: list[bytes] = []
    held_bytes = 0
    for block in blocks:
        if held_bytes >= size:
            yield b"".join(held), False
            held, held_bytes = [], 0
        held.append(block)
        held_bytes += len(block)
    yield b"".join(held), True


def _frame(data: bytes, split: Split, offset: int, limits: Limits) -> Frame:
    starts = np.concatenate(([0], split.ends[:-1]))
    is_kept, refusals = split.is_kept, list(split.refusals)
    for index in np.flatnonzero(is_kept & (split.ends - starts > limits.record_bytes)):
        is_kept = is_kept.copy()
        is_kept[index] = False
        piece = data[starts[index] : starts[index] + PAYLOAD_CHARACTERS * 4]
        refusals.append(_too_large(int(split.lines[index]), piece, limits))
    bounds = np.concatenate(([0], split.ends)).astype(np.int32)
    records = pa.BinaryArray.from_buffers(
        pa.binary(), len(split.ends), [None, pa.py_buffer(bounds), pa.py_buffer(data)]
    )
    lines, offsets = split.lines, starts + offset
    if not is_kept.all():
        records = records.filter(pa.array(is_kept))
        lines, offsets = lines[is_kept], offsets[is_kept]
    return Frame(records, lines, offsets, refusals)


def _only_refusal(refusal: Refusal) -> Frame:
    empty = np.empty(0, np.int64)
    return Frame(pa.array([], pa.binary()), empty, empty, [refusal])


def _too_large(line: int, piece: bytes, limits: Limits) -> Refusal:
    detail = f"limit {limits.record_bytes} bytes"
    return Refusal(line, "record_too_large", payload_text(piece), detail=detail)


def _is_blank(data: bytes, ends: IntArray) -> BoolArray:
    """Which pieces hold white space alone. Only those that start with it are looked at."""
    starts = np.concatenate(([0], ends[:-1])) if ends.size else ends
    blank = np.zeros(len(ends), bool)
    if ends.size:
        view = np.frombuffer(data, np.uint8)
        for index in np.flatnonzero(np.isin(view[starts], _SPACES)):
            blank[index] = data[starts[index] : ends[index]].isspace()
    return blank


def _hides_object(data: bytes, opens: IntArray, ends: IntArray) -> BoolArray:
    """Which pieces hold a brace, not their first, that follows no `:`, `,`, `[` or space."""
    before = np.frombuffer(data, np.uint8)[np.maximum(opens - 1, 0)]
    fresh = opens[~np.isin(before, _BEFORE_VALUE) & ~np.isin(opens, np.append(0, ends))]
    return np.diff(np.searchsorted(fresh, np.append(0, ends))) > 0


def _object_end(text: str, start: int) -> int:
    """Where the JSON object at `start` ends, or 0 when there is none."""
    brace = _OBJECT_START.match(text, start)
    if not brace:
        return 0
    try:
        _, end = _DECODER.raw_decode(text, brace.end())
    except (ValueError, RecursionError):
        return 0
    return end


def _skip_spaces(data: bytes, at: IntArray) -> IntArray:
    """The first place from each of `at` on that holds no white space; those past the end go."""
    view = np.frombuffer(data, np.uint8)
    at = at[at < len(view)]
    while (is_space := np.isin(view[at], _SPACES)).any():
        at = at + is_space
        at = at[at < len(view)]
    return at


def _unescaped_quotes(data: bytes) -> IntArray:
    """Double quotes that no backslash escapes: an even run of backslashes stands before them."""
    quotes = positions(data, 0x22)
    backslashes = positions(data, 0x5C)
    if not backslashes.size:
        return quotes
    # The first backslash of each run, seen from every backslash.
    is_first = np.append(True, np.diff(backslashes) != 1)
    first = np.maximum.accumulate(np.where(is_first, backslashes, 0))
    last = np.searchsorted(backslashes, quotes) - 1
    touches = (last >= 0) & (backslashes[np.maximum(last, 0)] == quotes - 1)
    run = quotes - first[np.maximum(last, 0)]
    return quotes[~(touches & (run % 2 == 1))]


def field_counts(records: pa.Array, delimiter: str, quote: str) -> IntArray:
    """How many fields each CSV record has. Delimiters inside quotes do not count."""
    data, bounds = _buffers(records)
    return _field_counts(data, bounds, ord(delimiter), ord(quote))


def stray_returns(records: pa.Array, quote: str) -> BoolArray:
    """Which CSV records hold a carriage return that ends no line, outside quotes."""
    data, bounds = _buffers(records)
    returns = positions(data, 0x0D)
    if not returns.size:
        return np.zeros(len(records), bool)
    view = np.frombuffer(data, np.uint8)
    returns = returns[view[np.minimum(returns + 1, len(view) - 1)] != _NEWLINE]
    # At the very end, without a line feed after it, it is half a line end.
    returns = _outside(returns[returns < len(view) - 1], positions(data, ord(quote)))
    return np.diff(np.searchsorted(returns, bounds)) > 0


def _buffers(records: pa.Array) -> tuple[memoryview, IntArray]:
    """The bytes of a text array, and where its records start and end in them."""
    if not len(records):
        return memoryview(b""), np.zeros(1, np.int64)
    bounds = np.frombuffer(records.buffers()[1], np.int32)[records.offset :][: len(records) + 1]
    data = memoryview(records.buffers()[2])[bounds[0] : bounds[-1]]
    return data, bounds.astype(np.int64) - bounds[0]


def _field_counts(
    data: bytes | memoryview, bounds: IntArray, delimiter: int, quote: int
) -> IntArray:
    delimiters = _outside(positions(data, delimiter), positions(data, quote))
    return np.diff(np.searchsorted(delimiters, bounds)) + 1


def _outside(places: IntArray, quotes: IntArray) -> IntArray:
    """Those places that are not inside quotes."""
    return places[np.searchsorted(quotes, places) % 2 == 0] if quotes.size else places
