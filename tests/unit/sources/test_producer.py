"""Records that are put are in the stream, also those that Kinesis refused at first."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from cdp_assets.cli import app
from cdp_assets.sources.producer import PutError, Record, lines_of, put_records
from tests.unit.s3 import REGION, s3_endpoint
from tests.unit.streaming import Stream, stream

__all__ = ["s3_endpoint", "stream"]


class Refuses:
    """Lets Kinesis refuse every third record of some requests: they do not arrive."""

    def __init__(self, times: int) -> None:
        self._left = times
        self._refused: list[int] = []

    def on(self, client: Any) -> Any:
        """Listen to what a client sends and is told."""
        events = client.meta.events
        events.register("before-parameter-build.kinesis.PutRecords", self._leave_out)
        events.register("after-call.kinesis.PutRecords", self._say_so)
        return client

    def _leave_out(self, params: dict[str, Any], **_: Any) -> None:
        self._refused = []
        if self._left:
            self._left -= 1
            records = params["Records"]
            self._refused = list(range(0, len(records), 3))
            # A request without records is none: the one that there is arrives, and is denied.
            params["Records"] = [r for n, r in enumerate(records) if n % 3] or records

    def _say_so(self, parsed: dict[str, Any], **_: Any) -> None:
        code = "ProvisionedThroughputExceededException"
        refusal = {"ErrorCode": code, "ErrorMessage": "-"}
        if self._refused == [0] and len(parsed["Records"]) == 1:
            parsed["Records"] = [refusal]
            return
        for place in self._refused:
            parsed["Records"].insert(place, refusal)


def landed(stream: Stream) -> list[bytes]:
    found = []
    for shard in stream.shards():
        place = {"ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = stream.kinesis.get_shard_iterator(StreamName=stream.name, **place)
        answer = stream.kinesis.get_records(ShardIterator=iterator["ShardIterator"])
        found += [record["Data"] for record in answer["Records"]]
    return sorted(found)


def test_records_that_were_refused_are_put_again_and_only_those(stream: Stream) -> None:
    records = [Record(str(n), f"{n:04}".encode()) for n in range(700)]
    pauses: list[float] = []
    client = Refuses(times=3).on(stream.kinesis)
    assert put_records(client, stream.name, iter(records), pauses.append) == 700
    assert landed(stream) == [record.data for record in records]
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


def test_records_that_are_refused_for_ever_are_reported(stream: Stream) -> None:
    client = Refuses(times=99).on(stream.kinesis)
    with pytest.raises(PutError, match=r"1 records were refused 10 times by .*Provisioned"):
        put_records(client, stream.name, [Record("a", b"1")], lambda _: None)


def test_requests_hold_no_more_than_kinesis_takes(stream: Stream) -> None:
    records = [Record(str(n), bytes([65 + n]) * 900_000) for n in range(12)]
    assert put_records(stream.kinesis, stream.name, records) == 12
    assert len(landed(stream)) == 12


def test_a_record_that_is_too_large_and_a_stream_that_is_not_there_are_named(
    stream: Stream,
) -> None:
    with pytest.raises(PutError, match="Record 2 has more than 1 MiB"):
        put_records(stream.kinesis, stream.name, [Record("a", b"1"), Record("a", b"1" * 2**20)])
    with pytest.raises(PutError, match="nowhere with ResourceNotFoundException"):
        put_records(stream.kinesis, "nowhere", [Record("a", b"1")])


def test_the_partition_key_is_a_field_of_the_line_or_its_hash() -> None:
    lines = [b'{"id": "x"}\n', b"\n", b'{"id": 7}\r\n', b"no JSON", b"[]"]
    records = list(lines_of(lines, "id"))
    assert [record.data for record in records] == [b'{"id": "x"}', b'{"id": 7}', b"no JSON", b"[]"]
    assert records[0].partition_key == "x"
    assert all(len(record.partition_key) == 40 for record in records[1:])
    assert [r.partition_key for r in lines_of(lines, None)][1:] == [
        r.partition_key for r in records[1:]
    ]


def test_the_command_line_puts_a_file(
    stream: Stream, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "events.jsonl").write_text('{"id": "a"}\n{"id": "b"}\n')
    monkeypatch.setenv("CDP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stream.endpoint)
    arguments = ["put", str(tmp_path / "events.jsonl"), "--stream", stream.name, "--key", "id"]
    said = CliRunner().invoke(app, arguments)
    assert said.output == f"Put 2 records into {stream.name}.\n"
    assert landed(stream) == [b'{"id": "a"}', b'{"id": "b"}']
