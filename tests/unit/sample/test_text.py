from __future__ import annotations

import gzip
import uuid
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa

from cdp_assets.sample import text


def test_numbers_are_padded_to_their_width():
    assert text.numbers(np.array([0, 42, 123_456]), 6).to_pylist() == ["000000", "000042", "123456"]


def test_uuids_are_version_4_in_shape():
    (written,) = text.uuids(np.array([1], dtype=np.uint64), np.array([2], dtype=np.uint64))
    assert uuid.UUID(written.as_py()).version == 4


def test_instants_are_iso_8601_in_utc():
    moment = np.array([1_787_000_000_123, -1])
    assert text.instants(moment).to_pylist() == [
        "2026-08-17T20:53:20.123Z",
        "1969-12-31T23:59:59.999Z",
    ]
    assert text.instants(moment[:1], fraction=False, suffix="").to_pylist() == [
        "2026-08-17T20:53:20"
    ]


def test_dates_reach_back_to_1900():
    days = [date(1900, 1, 1), date(1969, 12, 31), date(2026, 8, 30)]
    epoch = date(1970, 1, 1).toordinal()
    written = text.dates(np.array([day.toordinal() - epoch for day in days])).to_pylist()
    assert written == [day.isoformat() for day in days]


def test_money_is_exact_and_may_be_negative():
    cents = np.array([0, 5, 1999, -1250, 10**15])
    assert text.decimals(cents).to_pylist() == [Decimal(int(c)) / 100 for c in cents]
    assert text.money(cents[:4]).to_pylist() == ["0.00", "0.05", "19.99", "-12.50"]


def test_a_stamp_fills_its_marks_from_the_left():
    digits = text.digits(np.array([4155550123, 4155550123]), 10)
    written = text.stamp(["(###) ###-####", "#.#####E9"], np.array([0, 1]), digits)
    assert written.to_pylist() == ["(415) 555-0123", "4.15555E9"]


def test_concatenated_skips_what_is_sliced_off():
    lines = pa.array(["a\n", "bb\n", "ccc\n"])
    assert bytes(text.concatenated(lines[1:])) == b"bb\nccc\n"
    assert bytes(text.concatenated(lines[3:])) == b""


def test_equal_content_gives_equal_gzip_bytes():
    data = memoryview(b"once upon a time" * 100)
    assert text.gzipped(data) == text.gzipped(data)
    assert gzip.decompress(text.gzipped(data)) == data
