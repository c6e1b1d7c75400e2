"""The file faults F09 to F22, by number, each with what the user must see."""

from __future__ import annotations

import gzip
import random
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp_assets.resources.object_store import ObjectInfo
from cdp_assets.settings import Limits
from cdp_assets.sources.contracts import FileFormat
from cdp_assets.sources.framing import frames
from tests.unit.sources.conftest import (
    CRM_HEADER,
    DAY,
    Lake,
    contact_record,
    crm_csv,
    crm_row,
    event,
    gzipped,
    json_lines,
    parquet,
)

NOISY = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.fault("F09")
class TestF09ObjectsThatVanish:
    def test_an_object_gone_since_the_listing_is_skipped_with_a_reason(self, crm: Lake) -> None:
        key = crm.land("a.csv", crm_csv(crm_row(1)))
        info = crm.store.head(key)
        crm.store.delete(key)
        report = crm.extract_infos(info)
        assert report.problems == [f"{key} is gone since it was listed."]
        assert report.total.records_in == 0
        assert crm.ledger.settled([key]) == {}

    def test_what_was_loaded_of_it_before_stays(self, crm: Lake) -> None:
        key = crm.land("a.csv", crm_csv(crm_row(1)))
        info = crm.store.head(key)
        crm.extract(key)
        crm.store.delete(key)
        crm.extract_infos(info)
        assert len(crm.raw()) == 1
        assert [row["status"] for row in crm.ledger.rows().to_pylist()] == ["loaded", "missing"]


@pytest.mark.fault("F10")
class TestF10UnfinishedObjects:
    @pytest.mark.parametrize(
        "name",
        [
            "a.csv.tmp",
            "a.csv.part",
            "_temporary/0/a.csv",
            ".a.csv.swp",
            ".spark/a.csv",
            "x_$folder$",
        ],
    )
    def test_a_scratch_file_is_no_object(self, crm: Lake, name: str) -> None:
        crm.land(name, crm_csv(crm_row(1)))
        assert crm.extract_day().total.objects == 0

    def test_an_object_written_to_while_it_is_read_keeps_nothing(
        self, crm: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = crm.land("a.csv", crm_csv(*(crm_row(i) for i in range(3))))
        open_reader = crm.store.open_reader

        @contextmanager
        def growing(key: str) -> Iterator[tuple[ObjectInfo, BinaryIO]]:
            with open_reader(key) as opened:
                yield opened
                with Path(crm.store.url(key)).open("ab") as handle:
                    handle.write(b"4,half a rec")

        monkeypatch.setattr(crm.store, "open_reader", growing)
        report = crm.extract(key)
        assert report.problems == [f"{key} was written to while it was read: next time."]
        assert crm.raw() == []
        assert crm.ledger.settled([key]) == {}


@pytest.mark.fault("F11")
class TestF11EmptyObjects:
    @pytest.mark.parametrize(
        ("entity", "content"),
        [
            ("crm__contacts", b""),
            ("crm__contacts", crm_csv()),
            ("crm__contacts", CRM_HEADER.encode()),
            ("crm__contacts", crm_csv("", "  ", "\r")),
            ("crm__contacts", b"\xef\xbb\xbf"),
            ("web__events", b""),
            ("web__events", gzipped(b"")),
            ("web__events", gzipped(b"\n \n\r\n\n")),
            ("contact_center__contacts", b" \n\n "),
            ("pos__receipt_lines", b""),
        ],
    )
    def test_an_empty_object_is_recorded_and_no_failure(
        self, lakes: dict[str, Lake], entity: str, content: bytes
    ) -> None:
        entry = lakes[entity].load(content)
        assert (entry.status, entry.records_in, entry.error) == ("empty", 0, "")
        assert lakes[entity].raw() == []

    def test_a_parquet_object_without_rows_is_empty(self, receipt_lines: Lake) -> None:
        names = receipt_lines.contract.by_name
        entry = receipt_lines.load(parquet({name: pa.array([], pa.string()) for name in names}))
        assert entry.status == "empty"


@pytest.mark.fault("F12")
class TestF12Compression:
    LINES = json_lines(*(event(i) for i in range(3)))

    @pytest.mark.parametrize(
        ("content", "rule"),
        [
            (gzipped(LINES)[:-10], "truncated_gzip"),
            (gzipped(LINES)[:30], "truncated_gzip"),
            (LINES, "not_gzip"),
            (b"\x1f\x8b is no gzip", "corrupt_gzip"),
            (gzipped(LINES)[:-6] + b"\0\0\0\0\0\0", "corrupt_gzip"),
            (gzipped(LINES) + b"trailing junk", "corrupt_gzip"),
            (b"\x28\xb5\x2f\xfd" + LINES, "unknown_compression"),
            (b"PK\x03\x04" + LINES, "unknown_compression"),
        ],
        ids=["cut", "cut early", "plain", "fake", "wrong sum", "junk after", "zstd", "zip"],
    )
    def test_a_broken_stream_is_refused_whole(
        self, lakes: dict[str, Lake], content: bytes, rule: str
    ) -> None:
        lake = lakes["web__events"]
        entry = lake.load(content)
        assert (entry.status, entry.records_in, entry.records_quarantined) == ("refused", 1, 1)
        assert lake.found() == [(None, rule, None)]
        assert entry.object_key in entry.error
        assert rule in entry.error
        assert lake.raw() == []

    def test_concatenated_members_are_one_stream(self, lakes: dict[str, Lake]) -> None:
        lake = lakes["web__events"]
        parts = [gzipped(json_lines(event(i))) for i in range(20)]
        assert lake.load(b"".join(parts)).records_loaded == 20
        assert [row["_line"] for row in lake.raw()] == list(range(1, 21))

    def test_zeros_after_the_last_member_are_padding(self, lakes: dict[str, Lake]) -> None:
        entry = lakes["web__events"].load(gzipped(self.LINES) + bytes(512))
        assert entry.records_loaded == 3

    def test_compressed_bytes_are_refused_where_none_are_declared(self, crm: Lake) -> None:
        crm.load(gzipped(crm_csv(crm_row(1))))
        assert crm.found() == [(None, "unknown_compression", None)]


@pytest.mark.fault("F13")
class TestF13GzipBombs:
    def test_a_bomb_is_stopped_at_the_ratio(self, lakes: dict[str, Lake]) -> None:
        lake = lakes["web__events"]
        lake.load(gzip.compress(bytes(100 << 20), compresslevel=1, mtime=0))
        assert lake.found() == [(None, "gzip_ratio", None)]

    def test_an_object_is_stopped_at_its_bytes(self, lakes: dict[str, Lake]) -> None:
        lake = lakes["web__events"].with_limits(object_bytes=1_000)
        entry = lake.load(gzipped(json_lines(*(event(i) for i in range(100)))))
        assert lake.found() == [(None, "too_many_bytes", None)]
        assert "limit 1000 bytes" in entry.error

    def test_gzip_inside_gzip_is_no_record(self, lakes: dict[str, Lake]) -> None:
        lake = lakes["web__events"]
        entry = lake.load(gzipped(gzipped(json_lines(event(1)))))
        assert entry.records_loaded == 0
        assert entry.records_quarantined == entry.records_in > 0


@pytest.mark.fault("F14")
class TestF14Size:
    LIMITS = Limits(chunk_bytes=1 << 14, record_bytes=1 << 15)

    def test_a_line_over_the_limit_is_refused_and_its_neighbours_are_kept(self, web: Lake) -> None:
        lake = web.with_limits(chunk_bytes=1 << 14, record_bytes=1 << 15)
        lake.load(json_lines(event(1), event(2, event="x" * 500_000), event(3)))
        assert [(row["message_id"], row["_line"]) for row in lake.raw()] == [("1", 1), ("3", 3)]
        assert lake.found() == [(2, "record_too_large", None)]
        assert "limit 32768 bytes" in lake.quarantine()[0]["message"]

    def test_the_last_line_may_be_the_one_over_the_limit(self, web: Lake) -> None:
        lake = web.with_limits(chunk_bytes=1 << 14, record_bytes=1 << 15)
        lake.load(json_lines(event(1), event(2, event="x" * 500_000)).rstrip())
        assert lake.found() == [(2, "record_too_large", None)]
        assert len(lake.raw()) == 1

    def test_an_object_inside_a_stream_of_objects_may_be_over_it(self, center: Lake) -> None:
        lake = center.with_limits(chunk_bytes=1 << 14, record_bytes=1 << 15)
        records = [contact_record(1), contact_record(2, Tags="x" * 500_000), contact_record(3)]
        lake.load("".join(records).encode())
        assert [row["contact_id"] for row in lake.raw()] == ["1", "3"]
        assert lake.found() == [(2, "record_too_large", None)]

    def test_framing_holds_a_few_chunks_however_large_the_object(self) -> None:
        def blocks() -> Iterator[bytes]:
            for _ in range(2_000):
                yield b'{"messageId": "1"}\n' * 1_000

        tracemalloc.start()
        total = sum(len(f.records) for f in frames(blocks(), FileFormat("json"), self.LIMITS))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert total == 2_000_000
        assert peak < 2 << 20

    def test_a_line_without_end_is_not_held(self) -> None:
        def blocks() -> Iterator[bytes]:
            for _ in range(300):
                yield b"x" * 100_000

        tracemalloc.start()
        found = list(frames(blocks(), FileFormat("json"), self.LIMITS))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [refusal.rule for frame in found for refusal in frame.refusals] == [
            "record_too_large"
        ]
        assert peak < 2 << 20


@pytest.mark.fault("F16")
class TestF16Encodings:
    def test_a_byte_order_mark_is_no_part_of_the_first_header(self, crm: Lake) -> None:
        crm.load(b"\xef\xbb\xbf" + crm_csv(crm_row(1, FirstName="Zoë")))
        assert [row["first_name"] for row in crm.raw()] == ["Zoë"]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "cp1252"])
    def test_a_declared_encoding_is_honoured(self, crm: Lake, encoding: str) -> None:
        lake = crm.with_format(encoding=encoding)
        text = crm_csv(crm_row(1, FirstName="Zoë", LastName="Müller")).decode()
        lake.load(text.encode(encoding))
        assert [(row["first_name"], row["last_name"]) for row in lake.raw()] == [("Zoë", "Müller")]

    def test_utf_16_where_utf_8_is_declared_is_refused_whole(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1)).decode().encode("utf-16"))
        assert crm.found() == [(None, "wrong_encoding", None)]

    def test_a_cut_utf_16_object_is_refused_naming_the_byte(self, crm: Lake) -> None:
        lake = crm.with_format(encoding="utf-16")
        content = crm_csv(crm_row(1)).decode().encode("utf-16")[:-1]
        entry = lake.load(content)
        assert lake.found() == [(None, "invalid_encoding", None)]
        assert f"byte offset {len(content) - 1}" in entry.error

    @pytest.mark.parametrize("compression", ["none", "gzip"])
    def test_bytes_that_are_no_utf_8_cost_their_record_and_name_their_offset(
        self, web: Lake, compression: str
    ) -> None:
        content = json_lines(event(1)) + b'{"messageId": "\xff"}\n' + json_lines(event(3))
        web.with_format(compression=compression).load(
            gzipped(content) if compression == "gzip" else content
        )
        assert [row["_line"] for row in web.raw()] == [1, 3]
        assert web.found() == [(2, "invalid_encoding", None)]
        message = web.quarantine()[0]["message"]
        offset = content.index(b"\xff")
        assert f"byte offset {offset}" in message

    def test_a_nul_byte_costs_its_record(self, crm: Lake) -> None:
        content = crm_csv(crm_row(1), crm_row(2, FirstName="A\0nn"), crm_row(3))
        crm.load(content)
        assert crm.found() == [(3, "nul_character", None)]
        offset = content.index(b"\0")
        assert f"byte offset {offset}" in crm.quarantine()[0]["message"]
        assert "\0" not in crm.quarantine()[0]["payload"]

    def test_an_escaped_nul_costs_its_record_but_an_escaped_backslash_does_not(
        self, web: Lake
    ) -> None:
        web.load(json_lines(event(1, event="a\0"), event(2, event="a\\u0000")))
        assert web.found() == [(1, "nul_character", None)]
        assert [row["event_name"] for row in web.raw()] == ["a\\u0000"]

    def test_a_nul_in_parquet_costs_its_record(self, receipt_lines: Lake) -> None:
        receipt_lines.load(parquet(lines(2, product_name=["good", "b\0d"])))
        assert receipt_lines.found() == [(2, "nul_character", None)]
        assert [row["product_name"] for row in receipt_lines.raw()] == ["good"]

    def test_text_is_kept_exactly_whatever_it_is_made_of(self, web: Lake) -> None:
        names = ["e\u0301", "\u00e9", "\u202eevil", "a\u200bb", "🙂", "line\u2028break"]
        web.load(json_lines(*(event(i, event=name) for i, name in enumerate(names))))
        assert [row["event_name"] for row in web.raw()] == names


@pytest.mark.fault("F17")
class TestF17Csv:
    def test_a_record_with_another_number_of_fields_costs_only_itself(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1), "2,too,few", crm_row(3) + ",one,more", crm_row(4)))
        assert [row["contact_id"] for row in crm.raw()] == ["1", "4"]
        assert crm.found() == [(3, "wrong_field_count", None), (4, "wrong_field_count", None)]

    def test_an_unclosed_quote_does_not_swallow_good_records(self, crm: Lake) -> None:
        quoted = crm_row(4, FirstName='"An, n"')
        crm.load(crm_csv(crm_row(1), crm_row(2, FirstName='"Ann'), crm_row(3), quoted, crm_row(5)))
        assert [row["contact_id"] for row in crm.raw()] == ["1", "3", "4", "5"]
        assert crm.found() == [(3, "unclosed_quote", None)]

    def test_an_unclosed_quote_at_the_end_costs_one_record(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1), crm_row(2, FirstName='"Ann'), crm_row(3)).rstrip())
        assert [row["contact_id"] for row in crm.raw()] == ["1", "3"]
        assert crm.found() == [(3, "unclosed_quote", None)]

    def test_every_line_may_hold_an_unclosed_quote(self, crm: Lake) -> None:
        crm.load(crm_csv(*(crm_row(i, FirstName='"Ann') for i in range(1_000)), crm_row(1_000)))
        assert [row["contact_id"] for row in crm.raw()] == ["1000"]
        assert len(crm.found()) == 1_000

    def test_open_quotes_that_happen_to_pair_up_do_not_swallow_what_is_between(
        self, crm: Lake
    ) -> None:
        rows = [crm_row(i, FirstName='"' if i % 3 == 0 else "Ann") for i in range(10)]
        crm.load(crm_csv(*rows))
        assert [row["contact_id"] for row in crm.raw()] == ["1", "2", "4", "5", "7", "8"]
        assert crm.found() == [(i + 2, "unclosed_quote", None) for i in (0, 3, 6, 9)]

    def test_a_carriage_return_that_ends_no_line_costs_its_record(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1, LastName="a\rb"), crm_row(2, LastName='"a\rb"')))
        assert [row["last_name"] for row in crm.raw()] == ["a\rb"]
        assert crm.found() == [(2, "stray_return", None)]

    @pytest.mark.parametrize(
        "content",
        [crm_csv(crm_row(1)).replace(b"\n", b"\r"), b'Id,"First\n' + crm_row(1).encode()],
        ids=["old Mac", "open quote"],
    )
    def test_a_header_that_is_none_refuses_the_object(self, crm: Lake, content: bytes) -> None:
        crm.load(content)
        assert crm.found() == [(None, "broken_header", None)]

    @NOISY
    @given(noise=st.text('",\r\n a\0', max_size=60), chunk=st.integers(1, 40))
    def test_no_noise_loses_a_record_or_fails(self, crm: Lake, noise: str, chunk: int) -> None:
        lake = crm.with_limits(chunk_bytes=chunk)
        entry = lake.load(crm_csv(crm_row(1)) + noise.encode())
        assert entry.status == "loaded"
        assert entry.records_in == entry.records_loaded + entry.records_quarantined

    def test_a_quote_inside_a_field_costs_its_record(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1, FirstName='5" An"n'), crm_row(2)))
        assert crm.found() == [(2, "stray_quote", None)]
        assert [row["contact_id"] for row in crm.raw()] == ["2"]

    def test_line_ends_delimiters_and_quotes_inside_quotes_are_text(self, crm: Lake) -> None:
        street = 'first\r\nsecond, "third"'
        quoted = '"{}"'.format(street.replace('"', '""'))
        crm.load(crm_csv(crm_row(1, MailingStreet=quoted), crm_row(2)))
        assert [(row["mailing_street"], row["_line"]) for row in crm.raw()] == [
            (street, 2),
            (None, 4),
        ]

    def test_records_may_end_in_cr_lf_and_the_last_one_in_nothing(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1), crm_row(2)).replace(b"\n", b"\r\n").rstrip())
        assert [row["modified_at"] for row in crm.raw()] == [f"{DAY}T09:00:00.000Z"] * 2

    def test_another_delimiter_than_the_declared_one_is_refused_whole(self, crm: Lake) -> None:
        entry = crm.load(crm_csv(crm_row(1)).replace(b",", b";"))
        assert entry.status == "refused"
        assert crm.found() == [(None, "missing_column", "contact_id")]

    def test_a_declared_dialect_is_honoured(self, crm: Lake) -> None:
        lake = crm.with_format(delimiter=";", quote="'")
        lake.load(crm_csv(crm_row(1, LastName="'O''Neil; Jr'")).replace(b",", b";"))
        assert [row["last_name"] for row in lake.raw()] == ["O'Neil; Jr"]

    def test_the_order_of_columns_does_not_matter(self, crm: Lake) -> None:
        header = CRM_HEADER.split(",")
        row = crm_row(1, FirstName="Ann").split(",")
        shuffled = random.Random(1).sample(range(len(header)), len(header))
        crm.load(
            crm_csv(
                ",".join(row[i] for i in shuffled), header=",".join(header[i] for i in shuffled)
            )
        )
        assert [(row["contact_id"], row["first_name"]) for row in crm.raw()] == [("1", "Ann")]

    @pytest.mark.parametrize(
        ("old", "new", "rule", "column", "told"),
        [
            ("Email", "E-mail Address", "missing_column", "email", ""),
            ("Email", "EMAIL", "missing_column", "email", "the header has 'EMAIL'"),
            ("FirstName", "LastName", "duplicate_header", "LastName", ""),
        ],
        ids=["renamed", "case only", "twice"],
    )
    def test_a_header_that_breaks_the_contract_is_refused_naming_its_version(
        self, crm: Lake, old: str, new: str, rule: str, column: str, told: str
    ) -> None:
        entry = crm.load(crm_csv(crm_row(1), header=CRM_HEADER.replace(old, new, 1)))
        assert crm.found() == [(None, rule, column)]
        assert told in entry.error
        assert "contract version 1" in entry.error


@pytest.mark.fault("F18")
class TestF18Json:
    @pytest.mark.parametrize(
        ("line", "rule"),
        [
            ('{"messageId": "2", "type":', "malformed_json"),
            ("not json", "malformed_json"),
            ("{'messageId': '2'}", "malformed_json"),
            ('["a"]', "not_an_object"),
            ("42", "not_an_object"),
            ("null", "not_an_object"),
            ('{"messageId": "2", "messageId": "3"}', "duplicate_key"),
            ('{"messageId": "2", "properties": {"total": NaN}}', "malformed_json"),
            ('{"messageId": "2", "properties": {"total":nan}}', "malformed_json"),
            ('{"messageId": "2", "properties": [-Infinity]}', "malformed_json"),
            ('{"messageId": "2", "a\\u0000b": 1}', "nul_character"),
            ('{"messageId": "2", "x": ' + '{"a":' * 1000 + "1" + "}" * 1001, "too_deep"),
            ('{"messageId": "2", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "too_deep"),
        ],
        ids=[
            "cut", "text", "single quotes", "list", "number", "null", "duplicate key",
            "NaN", "nan", "Infinity", "NUL in a key", "1,000 deep", "100,000 deep",
        ],
    )  # fmt: skip
    def test_a_broken_line_costs_only_itself(self, web: Lake, line: str, rule: str) -> None:
        web.load(json_lines(event(1), line, event(3)))
        assert [row["message_id"] for row in web.raw()] == ["1", "3"]
        assert web.found() == [(2, rule, None)]
        assert web.quarantine()[0]["payload"] == line[:4096]

    def test_words_that_look_like_nan_are_only_words(self, web: Lake) -> None:
        names = ["NaN", "Infinity", "x: nan", "finance, information", "[Infinite]"]
        web.load(json_lines(*(event(i, event=name) for i, name in enumerate(names))))
        assert [row["event_name"] for row in web.raw()] == names

    def test_ids_wider_than_64_bits_are_kept_as_text_exactly(self, web: Lake) -> None:
        digits = "123456789012345678901234567890"
        line = f'{{"messageId":{digits},"type":"track","timestamp":"{DAY}T09:00:00Z"}}'
        web.load(json_lines(line))
        assert [row["message_id"] for row in web.raw()] == [digits]

    def test_objects_follow_each_other_with_or_without_space(self, center: Lake) -> None:
        joints = ["", " ", "\n", "\r\n\t", ""]
        records = [contact_record(i) + joint for i, joint in enumerate(joints)]
        center.load("".join(records).encode())
        assert [(row["contact_id"], row["_line"]) for row in center.raw()] == [
            (str(i), i + 1) for i in range(5)
        ]

    def test_braces_and_quotes_inside_text_end_no_object(self, center: Lake) -> None:
        reasons = ["}{", 'a}{"b', '\\"}{\\"', "}", "{", "\\"]
        records = [contact_record(i, Attributes={"reason": r}) for i, r in enumerate(reasons)]
        center.load("".join(records).encode())
        assert [row["reason"] for row in center.raw()] == reasons

    @pytest.mark.parametrize(
        "broken",
        [
            '{"ContactId":"2","Channel":"VOI',
            '{"ContactId":"2","Queue":{"Name":"a"}',
            '{"ContactId":"2"',
            '{"ContactId":2',
            "}",
            "garbage",
            "garbage}",
            '"ContactId":"2"}',
        ],
    )
    def test_a_broken_object_does_not_take_its_neighbours(self, center: Lake, broken: str) -> None:
        center.load((contact_record(1) + broken + contact_record(3) + contact_record(4)).encode())
        assert [row["contact_id"] for row in center.raw()] == ["1", "3", "4"]
        assert [rule for _, rule, _ in center.found()] == ["malformed_json"]

    @NOISY
    @given(noise=st.text('{}[]":,\\ a1\0\n', max_size=40), chunk=st.integers(1, 40))
    def test_no_noise_takes_what_comes_after_it_or_fails(
        self, center: Lake, noise: str, chunk: int
    ) -> None:
        lake = center.with_limits(chunk_bytes=chunk)
        entry = lake.load((contact_record(1) + noise + contact_record(2)).encode())
        assert entry.status == "loaded"
        assert entry.records_in == entry.records_loaded + entry.records_quarantined

    @pytest.mark.parametrize("chunk_bytes", [64, 500, 1 << 20])
    def test_it_does_not_matter_where_chunks_end(self, center: Lake, chunk_bytes: int) -> None:
        lake = center.with_limits(chunk_bytes=chunk_bytes)
        records = [contact_record(i, Attributes={"reason": "}{\\"}) for i in range(50)]
        lake.load("".join(records).encode())
        assert [row["contact_id"] for row in lake.raw()] == [str(i) for i in range(50)]


@pytest.mark.fault("F19")
class TestF19Drift:
    @pytest.mark.parametrize(
        ("policy", "loaded", "quarantined", "extra"),
        [
            ("evolve", 2, 0, [None, '{"Tier":"gold"}']),
            ("discard_value", 2, 0, [None, None]),
            ("discard_row", 0, 2, []),
            ("freeze", 0, 1, []),
        ],
    )
    def test_a_new_csv_column(
        self, crm: Lake, policy: str, loaded: int, quarantined: int, extra: list[str | None]
    ) -> None:
        lake = crm.with_drift(column=policy)
        header = f"{CRM_HEADER},Tier"
        entry = lake.load(crm_csv(crm_row(1) + ",", crm_row(2) + ",gold", header=header))
        assert (entry.records_loaded, entry.records_quarantined) == (loaded, quarantined)
        assert [row["_extra"] for row in lake.raw()] == extra
        assert entry.new_columns == ("" if policy == "freeze" else "Tier")

    @pytest.mark.parametrize(
        ("policy", "loaded", "quarantined", "extra"),
        [
            ("evolve", 2, 0, [None, '{"tier":{"name":"gold"}}']),
            ("discard_value", 2, 0, [None, None]),
            ("discard_row", 1, 1, [None]),
            ("freeze", 0, 1, []),
        ],
    )
    def test_a_new_json_key(
        self, web: Lake, policy: str, loaded: int, quarantined: int, extra: list[str | None]
    ) -> None:
        lake = web.with_drift(column=policy)
        entry = lake.load(json_lines(event(1), event(2, tier={"name": "gold"})))
        assert (entry.records_loaded, entry.records_quarantined) == (loaded, quarantined)
        assert [row["_extra"] for row in lake.raw()] == extra

    def test_known_keys_that_nobody_wants_are_no_drift(self, web: Lake) -> None:
        assert web.load(json_lines(event(1, writeKey="k", integrations={}))).new_columns == ""

    @pytest.mark.parametrize(
        ("policy", "status", "loaded"), [("freeze", "refused", 0), ("evolve", "loaded", 1)]
    )
    def test_a_column_that_is_gone(self, crm: Lake, policy: str, status: str, loaded: int) -> None:
        lake = crm.with_drift(table=policy)
        header, row = CRM_HEADER.replace(",Email,", ","), crm_row(1).replace("1,,,,", "1,,,", 1)
        entry = lake.load(crm_csv(row, header=header))
        assert (entry.status, entry.records_loaded) == (status, loaded)

    def test_an_optional_column_may_be_gone(self, crm: Lake) -> None:
        assert "Loyalty_Id__c" not in CRM_HEADER
        assert crm.load(crm_csv(crm_row(1))).records_loaded == 1

    @pytest.mark.parametrize(
        ("policy", "status", "loaded", "birth_dates", "scope"),
        [
            ("evolve", "loaded", 2, [None, "soon"], "value"),
            ("discard_value", "loaded", 2, [None, None], "value"),
            ("discard_row", "loaded", 1, [None], "record"),
            ("freeze", "refused", 0, [], "object"),
        ],
    )
    def test_a_value_of_another_type(
        self,
        crm: Lake,
        policy: str,
        status: str,
        loaded: int,
        birth_dates: list[str | None],
        scope: str,
    ) -> None:
        lake = crm.with_column("birth_date", on_type_error=policy)
        entry = lake.load(crm_csv(crm_row(1), crm_row(2, Birthdate="soon")))
        assert (entry.status, entry.records_loaded) == (status, loaded)
        assert [row["birth_date"] for row in lake.raw()] == birth_dates
        [found] = lake.quarantine()
        assert (found["scope"], found["rule"], found["column"]) == (scope, "not_date", "birth_date")
        assert found["line"] == 3

    @pytest.mark.parametrize("policy", ["evolve", "discard_value"])
    @pytest.mark.parametrize("text", ["soon", "9999-01-01T00:00:00.000Z"])
    def test_an_instant_stands_only_while_its_text_does(
        self, web: Lake, policy: str, text: str
    ) -> None:
        lake = web.with_column("sent_at", on_type_error=policy)
        lake.load(json_lines(event(1, sentAt=text)))
        [row] = lake.raw()
        kept = text if policy == "evolve" else None
        assert (row["sent_at"], row["sent_at_utc"]) == (kept, None)
        assert [row["scope"] for row in lake.quarantine()] == ["value"]

    def test_names_without_end_are_data_and_refuse_the_object(self, web: Lake) -> None:
        lake = web.with_limits(chunk_bytes=1_000)
        lake.load(json_lines(*(event(i, **{f"key_{i}": i}) for i in range(300))))
        assert lake.found() == [(None, "too_many_columns", None)]

    def test_many_shapes_of_objects_are_all_judged(self, web: Lake) -> None:
        lake = web.with_limits(chunk_bytes=1)
        lake.load(json_lines(*(event(i, **{f"key_{i % 50}": i}) for i in range(100))))
        assert [row["_extra"] for row in lake.raw()] == [
            f'{{"key_{i % 50}":{i}}}' for i in range(100)
        ]

    def test_a_missing_required_value_costs_its_record(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(""), crm_row(2)))
        assert crm.found() == [(2, "required", "contact_id")]

    def test_a_value_that_is_not_allowed_costs_its_record(self, web: Lake) -> None:
        web.load(json_lines(event(1, type="buy"), event(2)))
        assert web.found() == [(1, "not_allowed", "call_type")]


@pytest.mark.fault("F20")
class TestF20Spreadsheets:
    def test_names_that_look_like_nothing_survive(self, crm: Lake) -> None:
        names = ["Null", "NULL", "NA", "N/A", "None", "nan", "True"]
        crm.load(crm_csv(*(crm_row(i, LastName=name) for i, name in enumerate(names))))
        assert [row["last_name"] for row in crm.raw()] == names

    def test_a_rounded_phone_is_flagged_kept_as_text_and_no_number(self, crm: Lake) -> None:
        entry = crm.load(crm_csv(crm_row(1, Phone="4.15555E9", MailingCountry="US")))
        [row] = crm.raw()
        assert (row["phone"], row["phone_e164"]) == ("4.15555E9", None)
        assert crm.found() == [(2, "excel_number", "phone")]
        assert (entry.records_loaded, entry.records_quarantined, entry.values_discarded) == (
            1,
            0,
            1,
        )

    def test_a_phone_that_lost_its_zero_is_read_by_its_country(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1, Phone="2079460018", MailingCountry="United Kingdom")))
        assert [row["phone_e164"] for row in crm.raw()] == ["+442079460018"]

    def test_leading_zeros_and_long_numbers_stay_text(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row("00012345678901234567890", MailingPostalCode="01234")))
        [row] = crm.raw()
        assert (row["contact_id"], row["mailing_postal_code"]) == (
            "00012345678901234567890",
            "01234",
        )

    @pytest.mark.parametrize("serial", ["33000", "33000.5", "4567"])
    def test_a_day_number_is_no_date(self, crm: Lake, serial: str) -> None:
        crm.load(crm_csv(crm_row(1, Birthdate=serial)))
        assert crm.found() == [(2, "excel_serial_date", "birth_date")]
        assert [row["birth_date"] for row in crm.raw()] == [None]

    @pytest.mark.parametrize("date", ["01/02/1990", "1990-02-30", "1990-1-2", "19900102"])
    def test_other_ways_to_write_a_date_are_not_guessed(self, crm: Lake, date: str) -> None:
        crm.load(crm_csv(crm_row(1, Birthdate=date)))
        assert crm.found() == [(2, "not_date", "birth_date")]


@pytest.mark.fault("F21")
class TestF21TimeStamps:
    NINE = datetime.fromisoformat("2026-03-01T09:00:00")

    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2026-03-01T09:00:00Z", NINE),
            ("2026-03-01T09:00:00.000Z", NINE),
            ("2026-03-01 09:00:00Z", NINE),
            ("2026-03-01T09:00Z", NINE),
            ("2026-03-01T09:00:00.000+0000", NINE),
            ("2026-03-01T14:30:00+05:30", NINE),
            ("2026-03-01T14:30:00.000+0530", NINE),
            ("2026-03-01T01:00:00-08", NINE),
            ("2026-03-01T09:00:00.123456789Z", NINE.replace(microsecond=123000)),
            ("2026-03-01T09:00:00.1234567890Z", None),
            ("2026-03-01T24:00:00.000Z", None),
            ("2026-03-01T09:00:60.000Z", None),
            ("2026-02-30T09:00:00.000Z", None),
            ("2026-03-01T09:00:00+25:00", None),
            ("2026-03-01", None),
            ("infinity", None),
            ("yesterday", None),
            ("1772355600", None),
        ],
    )
    def test_a_time_stamp_is_one_utc_instant_or_none(
        self, web: Lake, text: str, instant: datetime | None
    ) -> None:
        web.load(json_lines(event(1, sentAt=text)))
        if instant is None:
            assert web.found() == [(1, "not_timestamp", "sent_at")]
        else:
            assert [(row["sent_at"], row["sent_at_utc"]) for row in web.raw()] == [(text, instant)]

    @pytest.mark.parametrize("text", ["2026-03-01T09:00:00", "2026-03-01 09:00:00.000"])
    def test_a_time_stamp_without_a_zone_is_not_guessed(self, web: Lake, text: str) -> None:
        web.load(json_lines(event(1, timestamp=text)))
        assert web.found() == [(1, "timestamp_without_zone", "occurred_at")]

    @pytest.mark.parametrize(
        ("local", "utc"),
        [
            ("2026-03-01T10:00:00", NINE),
            ("2026-07-01T11:00:00", datetime.fromisoformat("2026-07-01T09:00:00")),
            # 02:30 does not exist on the last Sunday of March, and happens twice in October.
            ("2026-03-29T02:30:00", datetime.fromisoformat("2026-03-29T01:30:00")),
            ("2025-10-26T02:30:00", datetime.fromisoformat("2025-10-26T01:30:00")),
            ("2026-03-01T09:00:00Z", NINE),
        ],
        ids=["winter", "summer", "gap", "overlap", "stated"],
    )
    def test_a_declared_zone_is_for_values_that_state_none(
        self, web: Lake, local: str, utc: datetime
    ) -> None:
        lake = web.with_column("sent_at", timezone="Europe/Berlin")
        lake.load(json_lines(event(1, sentAt=local)))
        assert [row["sent_at_utc"] for row in lake.raw()] == [utc]

    @pytest.mark.parametrize(
        ("unit", "value", "utc"),
        [
            ("s", 1772355600, NINE),
            ("s", 1772355600.25, NINE.replace(microsecond=250_000)),
            ("ms", 1772355600123, NINE.replace(microsecond=123_000)),
        ],
    )
    def test_an_epoch_is_read_in_its_declared_unit(
        self, web: Lake, unit: str, value: float, utc: datetime
    ) -> None:
        lake = web.with_column("sent_at", unit=unit)
        lake.load(json_lines(event(1, sentAt=value)))
        assert [row["sent_at_utc"] for row in lake.raw()] == [utc]

    @pytest.mark.parametrize("year", ["0001", "1899", "2200", "9999"])
    def test_a_year_that_cannot_be_is_refused(self, web: Lake, year: str) -> None:
        web.load(json_lines(event(1, sentAt=f"{year}-01-01T00:00:00.000Z")))
        assert web.found() == [(1, "out_of_range", "sent_at")]

    def test_an_event_is_in_the_future_past_its_landing_day_and_the_skew(self, web: Lake) -> None:
        end = datetime.fromisoformat(DAY) + timedelta(days=1, hours=web.limits.future_skew_hours)
        late = [f"{(end + timedelta(seconds=s)).isoformat()}Z" for s in (0, 1)]
        web.load(json_lines(*(event(i, timestamp=text) for i, text in enumerate(late))))
        assert web.found() == [(2, "event_in_future", "occurred_at")]
        assert [row["message_id"] for row in web.raw()] == ["0"]

    def test_the_host_time_zone_changes_nothing(
        self, web: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            entry = web.load(json_lines(event(1, timestamp="2026-03-01T14:30:00+05:30")))
        finally:
            monkeypatch.undo()
            time.tzset()
        assert [row["occurred_at_utc"] for row in web.raw()] == [self.NINE]
        assert abs(entry.loaded_at - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)

    def test_parquet_time_stamps_keep_their_instant(self, receipt_lines: Lake) -> None:
        sold_at = pa.array([self.NINE], pa.timestamp("ms", "Asia/Tokyo"))
        receipt_lines.load(parquet(lines(1, sold_at=sold_at)))
        assert [row["sold_at_utc"] for row in receipt_lines.raw()] == [self.NINE]

    def test_parquet_time_stamps_without_a_zone_are_not_guessed(self, receipt_lines: Lake) -> None:
        receipt_lines.load(parquet(lines(1, sold_at=pa.array([self.NINE], pa.timestamp("us")))))
        assert receipt_lines.found() == [(1, "timestamp_without_zone", "sold_at")]


@pytest.mark.fault("F22")
class TestF22LateEvents:
    def test_events_of_the_past_are_taken_however_late(self, web: Lake) -> None:
        days = ["2026-01-30T00:00:00Z", "2025-12-01T00:00:00Z", "1999-12-31T23:59:59Z"]
        entry = web.load(json_lines(*(event(i, timestamp=day) for i, day in enumerate(days))))
        assert entry.records_loaded == 3


class TestParquet:
    def test_values_become_canonical_text(self, receipt_lines: Lake) -> None:
        receipt_lines.load(
            parquet(
                lines(
                    1,
                    unit_price=[Decimal("12345678901234.50")],
                    category=pa.array(["a"]).dictionary_encode(),
                )
            )
        )
        [row] = receipt_lines.raw()
        assert row["unit_price"] == "12345678901234.50"
        assert (row["quantity"], row["category"], row["_line"]) == ("1", "a", 1)

    @pytest.mark.parametrize("cut", [4, 100, -8])
    def test_a_broken_file_is_refused_whole(self, receipt_lines: Lake, cut: int) -> None:
        receipt_lines.load(parquet(lines(5))[:cut])
        assert receipt_lines.found() == [(None, "not_parquet", None)]

    def test_columns_without_a_text_form_are_refused_by_name(self, receipt_lines: Lake) -> None:
        for column in ([[1, 2]], [{"a": 1}]):
            receipt_lines.load(parquet({**lines(1), "items": column}))
            assert receipt_lines.found() == [(None, "no_text_form", "items")]

    def test_an_object_is_stopped_at_its_bytes(self, receipt_lines: Lake) -> None:
        lake = receipt_lines.with_limits(object_bytes=1_000)
        lake.load(parquet(lines(1_000)))
        assert lake.found() == [(None, "too_many_bytes", None)]

    @pytest.mark.fault("F13")
    def test_a_text_that_the_file_holds_once_is_never_held_for_every_row(
        self, receipt_lines: Lake
    ) -> None:
        """Forty thousand times a megabyte, in a file of a few: no memory holds that at once."""
        count, long = 40_000, "x" * 1_000_000
        names = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), [long])
        content = parquet({**lines(count), "product_name": names})
        assert len(content) < 3_000_000
        lake = receipt_lines.with_limits(object_bytes=100_000_000)
        before = pa.total_allocated_bytes()
        peak = pa.default_memory_pool().max_memory()
        lake.load(content)
        assert lake.found() == [(None, "too_many_bytes", None)]
        grown = pa.default_memory_pool().max_memory() - max(before, peak)
        assert grown < 200_000_000

    def test_a_row_over_the_limit_costs_only_itself(self, receipt_lines: Lake) -> None:
        lake = receipt_lines.with_limits(record_bytes=1_000, chunk_bytes=2_000)
        names = [*("x" * (n * 100) for n in range(9)), "x" * 1_001, None, "y"]
        for column in (pa.array(names), pa.array(names).dictionary_encode()):
            entry = lake.load(parquet({**lines(12), "product_name": column}))
            assert entry.records_loaded == 11
            assert lake.found() == [(10, "record_too_large", None)]
            assert [row["_line"] for row in lake.raw()] == [*range(1, 10), 11, 12]

    def test_rows_of_many_batches_keep_their_numbers(self, receipt_lines: Lake) -> None:
        entry = receipt_lines.load(parquet(lines(70_000)))
        assert entry.records_loaded == 70_000
        assert [row["_line"] for row in receipt_lines.raw()] == list(range(1, 70_001))


def lines(count: int, **columns: Any) -> dict[str, Any]:
    """Columns of receipt lines that the contract takes."""
    made: dict[str, Any] = {
        "receipt_id": [f"r{i}" for i in range(count)],
        "line_number": list(range(count)),
        "sold_at": [f"{DAY}T09:00:00Z"] * count,
        "sku": ["sku"] * count,
        "product_name": ["thing"] * count,
        "category": ["things"] * count,
        "quantity": [1] * count,
        "unit_price": [Decimal("1.10")] * count,
        "line_amount": [Decimal("1.10")] * count,
    }
    return {**made, **columns}
