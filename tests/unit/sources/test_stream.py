"""A stream reaches raw record by record, each once, whoever is killed and whenever."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from cdp_assets.resources.checkpoints import (
    Batch,
    Checkpoints,
    DynamoDBCheckpoints,
    Shard,
    SQLiteCheckpoints,
)
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.sources.producer import Record, put_records
from cdp_assets.sources.stream import Pace, StreamError, StreamReader, StreamReport, told
from tests.unit.s3 import REGION, s3_endpoint, s3_store
from tests.unit.sources.conftest import Lake, event
from tests.unit.streaming import Stream, make_checkpoint_table, stream

__all__ = ["s3_endpoint", "s3_store", "stream"]

TODAY = datetime.now(UTC).date().isoformat()


class Kill(BaseException):
    """The process ends here."""


@dataclass
class Rig:
    """A stream, the lake that it is landed in, and readers of it."""

    stream: Stream
    lake: Lake
    checkpoints: Checkpoints
    put: list[str] = field(default_factory=list)
    clock: float = 1_000.0

    def send(self, count: int, **fields: Any) -> None:
        """Put so many more events."""
        first = len(self.put)
        names = [f"m{n}" for n in range(first, first + count)]
        records = [Record(name, json.dumps(event(name, **fields)).encode()) for name in names]
        assert put_records(self.stream.kinesis, self.stream.name, records) == count
        self.put += names

    def send_raw(self, *data: bytes) -> None:
        """Put records as they are."""
        for one in data:
            self.stream.kinesis.put_record(
                StreamName=self.stream.name, Data=one, PartitionKey=str(one)
            )

    def reader(
        self,
        pace: Pace | None = None,
        checkpoints: Any = None,
        store: Any = None,
        client: Any = None,
    ) -> StreamReader:
        """A reader with an owner of its own."""
        return StreamReader(
            client or self.stream.kinesis,
            self.stream.name,
            self.lake.contract,
            store or self.lake.store,
            checkpoints or self.checkpoints,
            pace or Pace(buffer_bytes=800),
            now=self.now,
        )

    def now(self) -> float:
        """Time goes on by a tenth of a second whenever it is looked at."""
        self.clock += 0.1
        return self.clock

    def read(self, **how: Any) -> StreamReport:
        """Read once, to where the stream is now, after every lease has run out."""
        self.clock += 1_000
        return self.reader(**how).run(threading.Event(), once=True)

    def killed(self, **how: Any) -> None:
        """The same, by a reader that is killed."""
        self.clock += 1_000
        with pytest.raises(Kill):
            self.reader(**how).run(threading.Event(), once=True)

    def check(self) -> None:
        """Every record is in raw, and none is twice."""
        self.lake.extract_day(TODAY)
        found = Counter(row["message_id"] for row in self.lake.raw())
        assert found == Counter(self.put)
        statuses = {row["status"] for row in self.lake.ledger.rows().to_pylist()}
        assert statuses <= {"loaded"}, "no object was written twice"


@pytest.fixture(params=["laptop", "aws"])
def rig(
    request: pytest.FixtureRequest, stream: Stream, lakes: dict[str, Lake], tmp_path: Path
) -> Iterator[Rig]:
    """On a laptop: a folder and SQLite; on AWS: S3 and DynamoDB."""
    lake = lakes["web__events"]
    if request.param == "laptop":
        yield Rig(stream, lake, SQLiteCheckpoints(tmp_path / "checkpoints.sqlite"))
        return
    table = make_checkpoint_table(stream.endpoint)
    checkpoints = DynamoDBCheckpoints(table, REGION, stream.endpoint)
    yield Rig(stream, replace(lake, store=request.getfixturevalue("s3_store")), checkpoints)


@pytest.fixture
def laptop(stream: Stream, lakes: dict[str, Lake], tmp_path: Path) -> Rig:
    return Rig(stream, lakes["web__events"], SQLiteCheckpoints(tmp_path / "checkpoints.sqlite"))


def objects(store: ObjectStore) -> list[str]:
    return [info.key for info in store.list("landing")]


def test_every_record_of_every_shard_is_landed_once_however_often_it_is_read(rig: Rig) -> None:
    rig.send(60)
    report = rig.read()
    assert (report.records, len(report.shards)) == (60, 2)
    assert report.objects == len(objects(rig.lake.store)) > 2
    rig.send(5)
    assert rig.read().records == 5
    assert rig.read().records == 0
    rig.check()


def test_objects_are_gzipped_lines_in_the_layout_of_firehose(laptop: Rig) -> None:
    laptop.send(3)
    laptop.read()
    landed = objects(laptop.lake.store)
    lines: list[bytes] = []
    for key in landed:
        *folder, name = key.split("/")
        assert folder == ["landing", "web", "events", f"dt={TODAY}"]
        assert name.startswith(f"kinesis-{laptop.stream.name}-shardId-00000000000")
        assert name.endswith(".json.gz")
        lines += gzip.decompress(laptop.lake.store.read(key)).splitlines()
    assert sorted(json.loads(line)["messageId"] for line in lines) == ["m0", "m1", "m2"]


def test_a_record_that_is_no_json_is_landed_as_it_is_and_goes_to_quarantine(laptop: Rig) -> None:
    laptop.send(2)
    laptop.send_raw(b"no JSON", b'{"messageId"', b"\xff\xfe", b"[1]\n")
    laptop.read()
    laptop.check()
    assert len(laptop.lake.quarantine()) == 4


class Failing:
    """Something that is killed before or after one of its calls; the last place of all is none."""

    def __init__(self, inner: Any, operation: str, call: int, *, after: bool) -> None:
        self._inner = inner
        self._operation = operation
        self._left = call
        self._after = after

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found = getattr(self._inner, name)
        if name != self._operation:
            return found

        def call(*arguments: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Kill
            answer = found(*arguments)
            if self._left == 0:
                raise Kill
            return answer

        return call


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("operation", "call"),
    [("claim", 1), ("claim", 2), *((o, n) for o in ("intend", "advance") for n in (1, 2, 3))],
)
def test_a_kill_beside_any_step_loses_and_doubles_nothing(
    rig: Rig, operation: str, call: int, after: bool
) -> None:
    rig.send(40)
    rig.killed(checkpoints=Failing(rig.checkpoints, operation, call, after=after))
    # What comes meanwhile must not be drawn into a batch that was begun.
    rig.send(40)
    rig.lake.extract_day(TODAY)
    rig.read(pace=Pace(buffer_bytes=500))
    rig.check()


def test_a_kill_while_an_object_is_written_loses_and_doubles_nothing(rig: Rig) -> None:
    rig.send(40)
    for call in (1, 2):
        store = Failing(rig.lake.store, "open_writer", call, after=False)
        rig.killed(store=store)
        rig.send(10)
    rig.read()
    rig.check()


def test_readers_that_are_killed_again_and_again_land_each_record_once(laptop: Rig) -> None:
    operations = ["intend", "advance", "claim", "advance", "intend", "advance"]
    for step, operation in enumerate(operations):
        laptop.send(30)
        failing = Failing(laptop.checkpoints, operation, 1 + step % 2, after=step % 3 == 0)
        laptop.killed(checkpoints=failing, pace=Pace(buffer_bytes=700 + 300 * step))
        laptop.lake.extract_day(TODAY)
    laptop.read()
    laptop.check()


def test_the_children_of_a_split_shard_are_read_after_it(rig: Rig) -> None:
    rig.send(30)
    parent = rig.stream.shards()[0]
    rig.killed(checkpoints=Failing(rig.checkpoints, "intend", 1, after=True))
    rig.stream.split(parent)
    rig.send(30)
    report = rig.read()
    assert len(report.shards) == 4
    assert rig.checkpoints.read(_shard(rig, parent)).is_done
    assert not rig.checkpoints.read(_shard(rig, rig.stream.shards()[-1])).is_done
    rig.send(30)
    assert parent not in rig.read().shards
    rig.check()


def test_a_child_waits_for_a_parent_that_another_reader_has_not_ended(laptop: Rig) -> None:
    laptop.send(10)
    parent = laptop.stream.shards()[0]
    laptop.stream.split(parent)
    laptop.send(20)
    assert laptop.checkpoints.claim(_shard(laptop, parent), "another", 0, 1e9) is not None
    report = laptop.read()
    assert report.shards == {laptop.stream.shards()[1]}
    assert report.held_by_others == {parent}
    assert "1 shards are another reader's." in told(report)
    laptop.checkpoints.release(_shard(laptop, parent), "another")
    laptop.read()
    laptop.check()


def test_two_readers_at_once_land_each_record_once(rig: Rig) -> None:
    rig.send(80)
    stop = threading.Event()
    readers = [rig.reader(Pace(buffer_bytes=1_000)) for _ in range(2)]
    threads = [threading.Thread(target=reader.run, args=[stop]) for reader in readers]
    for thread in threads:
        thread.start()
    rig.send(40)
    deadline = time.monotonic() + 30
    while sum(reader.report.records for reader in readers) < 100 and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert not readers[0].report.shards & readers[1].report.shards
    rig.read()
    rig.check()


def test_a_reader_that_was_thought_dead_lands_nothing_that_the_next_one_lands(rig: Rig) -> None:
    rig.send(40)

    class Stalls(Failing):
        """Another reader goes all the way while this one is about to intend its second batch."""

        def __getattr__(self, name: str) -> Callable[..., Any]:
            found = getattr(self._inner, name)
            if name == "intend":
                self._left -= 1
                if self._left == 0:
                    rig.read(pace=Pace(buffer_bytes=900))
            return found

    old = rig.reader(checkpoints=Stalls(rig.checkpoints, "intend", 2, after=False))
    report = old.run(threading.Event(), once=True)
    assert any("taken over by another reader" in problem for problem in report.problems)
    rig.check()


def test_a_new_reader_finishes_what_was_intended_while_the_old_one_writes_it(rig: Rig) -> None:
    rig.send(40)

    class Slow(Failing):
        """Another reader goes all the way while this one has not written its first object."""

        def __getattr__(self, name: str) -> Callable[..., Any]:
            found = getattr(self._inner, name)
            if name == "open_writer":
                self._left -= 1
                if self._left == 0:
                    rig.read(pace=Pace(buffer_bytes=900))
            return found

    report = rig.reader(store=Slow(rig.lake.store, "open_writer", 1, after=False)).run(
        threading.Event(), once=True
    )
    assert report.problems
    rig.check()


@dataclass
class Answers:
    """Lets Kinesis answer some requests with an error, above the server."""

    operation: str
    code: str
    times: int
    status: int = 400

    def on(self, client: Any) -> Any:
        """Listen to what a client sends."""
        client.meta.events.register_first(f"before-send.kinesis.{self.operation}", self._answer)
        return client

    def _answer(self, request: Any, **_: Any) -> AWSResponse | None:
        if self.times == 0:
            return None
        self.times -= 1

        class Raw:
            def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
                yield body

        body = json.dumps({"__type": self.code, "message": "-"}).encode()
        return AWSResponse(request.url, self.status, HTTPHeaders(), Raw())


@pytest.mark.fault("F24")
@pytest.mark.parametrize("operation", ["GetRecords", "GetShardIterator", "ListShards"])
def test_throttling_is_waited_for(laptop: Rig, operation: str) -> None:
    laptop.send(20)
    code = "ProvisionedThroughputExceededException"
    answers = Answers(operation, code, times=4)
    laptop.read(client=answers.on(laptop.stream.kinesis))
    assert answers.times == 0
    laptop.check()


def test_an_iterator_that_has_expired_is_made_anew_behind_what_was_read(laptop: Rig) -> None:
    laptop.send(20)
    answers = Answers("GetRecords", "ExpiredIteratorException", times=0)
    reader = laptop.reader(Pace(buffer_bytes=10**9), client=answers.on(laptop.stream.kinesis))
    stop = threading.Event()
    thread = threading.Thread(target=reader.run, args=[stop])
    thread.start()
    time.sleep(1)
    answers.times = 3
    laptop.send(20)
    time.sleep(2)
    stop.set()
    thread.join()
    assert answers.times == 0
    laptop.read()
    laptop.check()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("ResourceNotFoundException", "look at its name"),
        ("AccessDeniedException", "what the role may do"),
        ("InvalidArgumentException", "remove its old checkpoints"),
    ],
)
def test_a_stream_that_cannot_be_read_is_named(laptop: Rig, code: str, told: str) -> None:
    client = Answers("GetShardIterator", code, times=99).on(laptop.stream.kinesis)
    with pytest.raises(StreamError, match=f"{laptop.stream.name} with {code}.*{told}"):
        laptop.read(client=client)


def test_records_that_are_gone_before_they_were_landed_are_reported(laptop: Rig) -> None:
    shard = _shard(laptop, laptop.stream.shards()[0])
    laptop.checkpoints.claim(shard, "dead", 0, 1)
    folder = f"landing/web/events/dt={TODAY}"
    laptop.checkpoints.intend(shard, "dead", Batch(f"{folder}/gone.json.gz", "5"))
    report = laptop.read()
    assert any("records up to 5 are gone" in problem for problem in report.problems)
    assert objects(laptop.lake.store) == []


def test_an_object_is_written_when_its_first_record_has_waited_long_enough(laptop: Rig) -> None:
    laptop.send(1)
    reader = laptop.reader(Pace(buffer_seconds=5))
    stop = threading.Event()
    thread = threading.Thread(target=reader.run, args=[stop])
    thread.start()
    deadline = time.monotonic() + 20
    while not objects(laptop.lake.store) and time.monotonic() < deadline:
        time.sleep(0.1)
        laptop.clock += 1
    stop.set()
    thread.join()
    assert reader.report.objects == 1


def test_only_json_comes_record_by_record(laptop: Rig, lakes: dict[str, Lake]) -> None:
    laptop.lake = lakes["crm__contacts"]
    with pytest.raises(StreamError, match="is csv"):
        laptop.reader()


def test_records_of_an_entity_that_is_not_compressed_are_not(
    laptop: Rig, lakes: dict[str, Lake]
) -> None:
    laptop.lake = lakes["email__events"]
    laptop.send_raw(b'{"a": 1}')
    laptop.read()
    (key,) = objects(laptop.lake.store)
    assert key.endswith(".json")
    assert laptop.lake.store.read(key) == b'{"a": 1}\n'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lands_what_was_read_and_lets_go(
    laptop: Rig, tmp_path: Path, number: signal.Signals
) -> None:
    laptop.send(10)
    home = tmp_path / "home"
    environment = os.environ | {
        "CDP_HOME": str(home),
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": laptop.stream.endpoint,
    }
    command = [sys.executable, "-c", "from cdp_assets.cli import main; main()", "stream"]
    options = ["--stream", laptop.stream.name, "--source", "web", "--entity", "events"]
    process = subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.PIPE, text=True
    )
    checkpoints = SQLiteCheckpoints(home / "checkpoints.sqlite")
    scope = f"{laptop.stream.name}/web/events"
    shards = [Shard(scope, name) for name in laptop.stream.shards()]
    deadline = time.monotonic() + 60
    # Long ago no lease had run out: what cannot be claimed then is the command's.
    while any(checkpoints.claim(shard, "probe", 0, 0) for shard in shards):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "Landed 10 records in 2 objects from 2 shards.\n")
    assert all(checkpoints.claim(shard, "next", time.time(), 0) for shard in shards)


def _shard(rig: Rig, name: str) -> Shard:
    return Shard(f"{rig.stream.name}/web/events", name)
