"""Where records start and end, whatever they hold and wherever chunks are cut."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp_assets.settings import Limits
from cdp_assets.sources.contracts import FileFormat
from cdp_assets.sources.framing import field_counts, frames

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
# Lines inside a field that are records themselves are a fault, not a field.
TABLES = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(TEXTS, min_size=width, max_size=width), min_size=1, max_size=20)
)
FEW = settings(max_examples=60, deadline=None)
CHUNKS = st.integers(1, 200)


def framed(data: bytes, file_format: FileFormat, chunk: int, block: int = 7) -> list[bytes]:
    """The records of `data`, read in small blocks."""
    blocks: Iterator[bytes] = (data[i : i + block] for i in range(0, len(data), block))
    limits = Limits(chunk_bytes=chunk)
    found = list(frames(blocks, file_format, limits))
    assert [refusal for frame in found for refusal in frame.refusals] == []
    return [record for frame in found for record in frame.records.to_pylist()]


@FEW
@given(rows=TABLES, chunk=CHUNKS, crlf=st.booleans())
def test_csv_records_are_what_the_standard_library_wrote(
    rows: list[list[str]], chunk: int, crlf: bool
) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n" if crlf else "\n")
    writer.writerows(rows)
    records = framed(buffer.getvalue().encode(), FileFormat("csv"), chunk)
    parsed = [next(csv.reader(io.StringIO(record.decode(), newline=""))) for record in records]
    assert parsed == rows


@FEW
@given(values=st.lists(TEXTS, min_size=1, max_size=20), chunk=CHUNKS)
def test_json_lines_are_cut_at_line_ends_only(values: list[str], chunk: int) -> None:
    data = "".join(json.dumps({"v": value}, ensure_ascii=False) + "\n" for value in values)
    records = framed(data.encode(), FileFormat("json"), chunk)
    assert [json.loads(record)["v"] for record in records] == values


@FEW
@given(
    values=st.lists(st.text('{}[]":,\\ a\n', max_size=12), min_size=1, max_size=20),
    chunk=CHUNKS,
    joint=st.sampled_from(["", " ", "\n", "\r\n "]),
)
def test_concatenated_objects_are_found_whatever_their_text_holds(
    values: list[str], chunk: int, joint: str
) -> None:
    data = "".join(json.dumps({"v": value, "o": {"v": [value]}}) + joint for value in values)
    records = framed(data.encode(), FileFormat("json", framing="concatenated"), chunk)
    assert [json.loads(record)["v"] for record in records] == values


@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_lines_and_offsets_are_those_of_the_object(chunk: int) -> None:
    data = b'a,b\n"1\n1",2\n\n3,4\n5,6'
    limits = Limits(chunk_bytes=chunk)
    found = list(frames(iter([data]), FileFormat("csv"), limits))
    lines = [int(line) for frame in found for line in frame.lines]
    offsets = [int(offset) for frame in found for offset in frame.offsets]
    assert lines == [1, 2, 5, 6]
    assert offsets == [0, 4, 13, 17]


def test_delimiters_inside_quotes_are_no_fields() -> None:
    [frame] = frames(iter([b'a,b,c\n"a,b",c,"d,\n,e"\n,,\nx\n']), FileFormat("csv"), Limits())
    assert field_counts(frame.records, ",", '"').tolist() == [3, 3, 3, 1]
