"""Landing a Kinesis stream: records become objects in the layout that Firehose writes.

Here: the order of the steps, by which each record reaches landing once. An object's key holds its
shard and its first and last sequence number, and which records it gets is written down before the
object is:

    claim the shard -> read -> intend a batch -> write the object -> advance the checkpoint

A reader that is killed between two of these leaves a batch that was intended; whoever claims the
shard next makes exactly that object, under the same key, with the same bytes. A reader that lost
its shard can intend nothing, so it can write nothing that is not intended.
Not here: judging records (`extract`): what is no JSON is landed as it is.
"""

from __future__ import annotations

import gzip
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from cdp_assets.errors import PlatformError
from cdp_assets.resources.checkpoints import (
    Batch,
    Checkpoint,
    Checkpoints,
    LeaseLostError,
    Shard,
)
from cdp_assets.resources.object_store import ObjectMissingError, ObjectStore
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.tables import landing_prefix

# Kinesis allows five reads a second and shard.
_READ_SECONDS: Final = 0.2
# An empty shard is asked less often; so are the shards of the stream.
_IDLE_SECONDS: Final = 1.0
_DISCOVER_SECONDS: Final = 30.0
_LONGEST_BACKOFF_SECONDS: Final = 10.0
_THROTTLED: Final = (
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "KMSThrottlingException",
    "ThrottlingException",
    "InternalFailure",
)


class StreamError(PlatformError):
    """A stream cannot be read; the message names it and what to do."""


@dataclass(frozen=True)
class Pace:
    """How records are gathered into objects, and how long a shard is held.

    Attributes:
        buffer_bytes: an object is written when a shard has so many, before compression. As much
            memory is used for each shard.
        buffer_seconds: or when its first record has waited so long.
        lease_seconds: another reader takes a shard over that was not heard of for so long.
    """

    buffer_bytes: int = 16 * 2**20
    buffer_seconds: float = 60.0
    lease_seconds: float = 60.0


@dataclass
class StreamReport:
    """What a reader did."""

    records: int = 0
    objects: int = 0
    shards: set[str] = field(default_factory=set)
    held_by_others: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class StreamReader:
    """Reads every shard of a stream that no other reader holds, parents before their children.

    Args:
        client: of Kinesis, from boto3.
        stream: its name.
        contract: of what the records are.
        store: the lake.
        checkpoints: how far each shard is.
        pace: of writing.
        now: seconds since 1970.
    """

    def __init__(
        self,
        client: Any,
        stream: str,
        contract: Contract,
        store: ObjectStore,
        checkpoints: Checkpoints,
        pace: Pace | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if contract.format.kind != "json":
            raise StreamError(
                f"{contract.source}/{contract.entity} is {contract.format.kind}: only JSON comes "
                "record by record."
            )
        self._kinesis = _Kinesis(client, stream)
        self._landing = _Landing(stream, contract, store)
        self._checkpoints = checkpoints
        self._pace = pace or Pace()
        self._now = now
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        # One stream may be landed for two entities, each with its own place in it.
        self._scope = f"{stream}/{contract.source}/{contract.entity}"
        self._held: dict[str, _ShardReader] = {}
        self._done: set[str] = set()
        self._discover_at = 0.0
        self._knows_shards = False
        self.report = StreamReport()

    def run(
        self, stop: threading.Event, *, once: bool = False, seconds: float | None = None
    ) -> StreamReport:
        """Read until `stop` is set, then land what was read and let go of the shards.

        Args:
            stop: ends the reading; set by a signal, for example.
            once: also end when every shard was read to where it is now.
            seconds: also end after so long.

        Raises:
            StreamError: the stream cannot be read.
            CheckpointsError: a place cannot be kept.
        """
        end = None if seconds is None else self._now() + seconds
        while not stop.is_set() and (end is None or self._now() < end):
            if self._now() >= self._discover_at:
                self._discover()
            for reader in list(self._held.values()):
                self._guarded(reader, reader.step)
            if once and self._is_caught_up():
                break
            stop.wait(max(0.0, min(self._pause(), 1e9 if end is None else end - self._now())))
        for reader in list(self._held.values()):
            self._guarded(reader, reader.end)
        return self.report

    def _discover(self) -> None:
        """Claim every shard that may be read now and that nobody holds."""
        self._discover_at = self._now() + min(_DISCOVER_SECONDS, self._pace.lease_seconds / 2)
        try:
            shards = self._kinesis.shards()
        except _ThrottledError:
            self._discover_at = self._now() + _IDLE_SECONDS
            return
        self._knows_shards = True
        self.report.held_by_others.clear()
        for name, parents in shards.items():
            waits = any(parent in shards and not self._is_done(parent) for parent in parents)
            if name not in self._held and not waits and not self._is_done(name):
                self._claim(name)

    def _claim(self, name: str) -> None:
        shard, now = Shard(self._scope, name), self._now()
        found = self._checkpoints.claim(shard, self._owner, now, now + self._pace.lease_seconds)
        if found is None:
            self.report.held_by_others.add(name)
            return
        if found.is_done:
            self._checkpoints.release(shard, self._owner)
            return
        self.report.shards.add(name)
        reader = _ShardReader(self, shard, found.sequence, found.intended)
        self._held[name] = reader
        self._guarded(reader, reader.resume)

    def _is_done(self, name: str) -> bool:
        if name not in self._done and self._checkpoints.read(Shard(self._scope, name)).is_done:
            self._done.add(name)
        return name in self._done

    def _guarded(self, reader: _ShardReader, act: Callable[[], bool]) -> None:
        """Let a shard act; let go of it when it has ended, or is another reader's by now."""
        try:
            ended = act()
        except LeaseLostError:
            self.report.problems.append(
                f"{reader.shard.name} was taken over by another reader, which lands it from there."
            )
            ended = True
        if ended:
            del self._held[reader.shard.name]
            # The children of a shard that has ended can be read at once.
            self._discover_at, self._knows_shards = 0.0, False

    def _is_caught_up(self) -> bool:
        return self._knows_shards and all(reader.is_caught_up for reader in self._held.values())

    def _pause(self) -> float:
        due = [self._discover_at, *(reader.due_at for reader in self._held.values())]
        return min(due) - self._now()


class _ShardReader:
    """Reads one shard and lands what it read.

    Its acts return whether the shard is to be let go.
    """

    def __init__(
        self, reader: StreamReader, shard: Shard, landed: str, intended: Batch | None
    ) -> None:
        self.shard = shard
        self.is_caught_up = False
        self.due_at = 0.0
        self._kinesis = reader._kinesis
        self._landing = reader._landing
        self._checkpoints = reader._checkpoints
        self._pace = reader._pace
        self._now = reader._now
        self._owner = reader._owner
        self._report = reader.report
        self._landed = landed
        self._read_to = landed
        self._intended = intended
        self._iterator: str | None = None
        self._failures = 0
        self._renew_at = self._now() + self._pace.lease_seconds / 3
        self._buffer = _Buffer()

    def resume(self) -> bool:
        """Take up a batch that another reader intended: it may have written it, and not said so."""
        if self._intended and self._landing.has(self._intended.key):
            self._checkpoints.advance(self.shard, self._owner, self._intended.last)
            self._landed = self._read_to = self._intended.last
            self._intended = None
        return False

    def step(self) -> bool:
        """Renew the lease, read once, and write what is due."""
        now = self._now()
        if now >= self._renew_at:
            self._renew()
        if now >= self.due_at and self._read():
            return True
        if not self._intended and self._buffer.waits_since <= now - self._pace.buffer_seconds:
            self._land()
        return False

    def end(self) -> bool:
        """Land what was read, and let another reader go on."""
        # Of an intended batch only a part may be here: the next reader makes it whole.
        if not self._intended:
            self._land()
        self._checkpoints.release(self.shard, self._owner)
        return True

    def _renew(self) -> None:
        now = self._now()
        until = now + self._pace.lease_seconds
        found = self._checkpoints.claim(self.shard, self._owner, now, until)
        # Another reader may have had the shard meanwhile and let go of it: begin anew behind it.
        if found != Checkpoint(self._landed, self._intended):
            raise LeaseLostError(self.shard.name)
        self._renew_at = now + self._pace.lease_seconds / 3

    def _read(self) -> bool:
        """Read once; tell whether the shard is at its end."""
        try:
            if self._iterator is None:
                self._iterator = self._kinesis.iterator(self.shard.name, self._read_to)
            answer = self._kinesis.records(self._iterator)
        except _ExpiredError:
            self._iterator = None
            return False
        except _ThrottledError:
            self._failures += 1
            pause = min(_READ_SECONDS * 2**self._failures, _LONGEST_BACKOFF_SECONDS)
            self.due_at = self._now() + pause
            return False
        self._failures = 0
        for record in answer["Records"]:
            self._take(record)
        self._iterator = answer.get("NextShardIterator")
        is_at_tip = not answer.get("MillisBehindLatest")
        if is_at_tip and not answer["Records"] and self._intended:
            self._land()
        self.is_caught_up = is_at_tip and not self._intended
        self.due_at = self._now() + (_READ_SECONDS if answer["Records"] else _IDLE_SECONDS)
        if self._iterator is None:
            self._land()
            self._checkpoints.finish(self.shard, self._owner)
        return self._iterator is None

    def _take(self, record: Mapping[str, Any]) -> None:
        sequence = record["SequenceNumber"]
        day = record["ApproximateArrivalTimestamp"].astimezone(UTC).date().isoformat()
        if self._intended:
            if int(sequence) > int(self._intended.last):
                self._land()
        elif self._buffer.lines and day != self._buffer.day:
            self._land()
        self._buffer.add(sequence, day, record["Data"], self._now())
        self._read_to = sequence
        if self._intended:
            if sequence == self._intended.last:
                self._land()
        elif self._buffer.size >= self._pace.buffer_bytes:
            self._land()

    def _land(self) -> None:
        """Make an object of what was read: the batch that was intended, or a new one."""
        intended, self._intended = self._intended, None
        if not self._buffer.lines:
            if intended:
                self._checkpoints.advance(self.shard, self._owner, intended.last)
                self._landed = self._read_to = intended.last
                self._report.problems.append(
                    f"{self.shard.name}: records up to {intended.last} are gone from the stream "
                    "and were not landed: keep its records longer."
                )
            return
        batch = intended or self._landing.batch(self.shard.name, self._buffer)
        if intended is None:
            self._checkpoints.intend(self.shard, self._owner, batch)
        self._landing.write(batch.key, self._buffer.lines)
        self._checkpoints.advance(self.shard, self._owner, batch.last)
        self._landed = batch.last
        self._report.records += len(self._buffer.lines)
        self._report.objects += 1
        self._buffer = _Buffer()


@dataclass
class _Buffer:
    """Records of one shard and one day that are not landed yet."""

    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    first: str = ""
    last: str = ""
    day: str = ""
    waits_since: float = float("inf")

    def add(self, sequence: str, day: str, data: bytes, now: float) -> None:
        """Append a record as one line, unless it brings lines of its own."""
        if not self.lines:
            self.first, self.day, self.waits_since = sequence, day, now
        self.last = sequence
        self.lines.append(data if data.endswith(b"\n") else data + b"\n")
        self.size += len(data)


class _Landing:
    """Where and how objects of a stream are written."""

    def __init__(self, stream: str, contract: Contract, store: ObjectStore) -> None:
        self._stream = stream
        self._contract = contract
        self._store = store
        self._is_gzip = contract.format.compression == "gzip"

    def batch(self, shard: str, buffer: _Buffer) -> Batch:
        """The object of these records: its key depends on nothing but them."""
        folder = landing_prefix(self._contract.source, self._contract.entity, buffer.day)
        ending = "json.gz" if self._is_gzip else "json"
        name = f"kinesis-{self._stream}-{shard}-{buffer.first}-{buffer.last}.{ending}"
        return Batch(f"{folder}/{name}", buffer.last)

    def has(self, key: str) -> bool:
        """Tell whether an object was written: it is seen whole or not at all."""
        try:
            self._store.head(key)
        except ObjectMissingError:
            return False
        return True

    def write(self, key: str, lines: Sequence[bytes]) -> None:
        """Write an object; the same lines give the same bytes."""
        with self._store.open_writer(key) as handle:
            if self._is_gzip:
                with gzip.GzipFile("", "wb", fileobj=handle, mtime=0) as zipped:
                    zipped.writelines(lines)
            else:
                handle.writelines(lines)


class _ThrottledError(RuntimeError):
    """Kinesis wants to be asked later."""


class _ExpiredError(RuntimeError):
    """An iterator is good for five minutes."""


class _Kinesis:
    """The three requests that reading takes."""

    def __init__(self, client: Any, stream: str) -> None:
        self._client = client
        self._stream = stream

    def shards(self) -> dict[str, list[str]]:
        """Each shard that the stream still has, oldest first, with its parents."""
        found: dict[str, list[str]] = {}
        asked: dict[str, str] = {"StreamName": self._stream}
        while asked:
            answer = self._call("list_shards", **asked)
            for shard in answer["Shards"]:
                parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
                found[shard["ShardId"]] = [parent for parent in parents if parent]
            asked = {"NextToken": answer["NextToken"]} if answer.get("NextToken") else {}
        return found

    def iterator(self, shard: str, after: str) -> str:
        """Where to read on: after a sequence number, or from the beginning."""
        place = (
            {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
            if after
            else {"ShardIteratorType": "TRIM_HORIZON"}
        )
        answer = self._call("get_shard_iterator", StreamName=self._stream, ShardId=shard, **place)
        return answer["ShardIterator"]

    def records(self, iterator: str) -> dict[str, Any]:
        """What comes next."""
        return self._call("get_records", ShardIterator=iterator)

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(**arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            if code in _THROTTLED:
                raise _ThrottledError(code) from error
            if code == "ExpiredIteratorException":
                raise _ExpiredError(code) from error
            hint = "look at its name, the region, and what the role may do with it"
            if code == "InvalidArgumentException":
                hint = "if it was made anew under this name, remove its old checkpoints"
            raise StreamError(
                f"Kinesis answers {operation} on the stream {self._stream} with {code}: {hint}."
            ) from error
        except BotoCoreError as error:
            raise StreamError(f"{operation} on {self._stream} failed: {error}") from error


@contextmanager
def stop_at_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, so that what was read is landed before the end."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def told(report: StreamReport) -> list[str]:
    """What a reader did, for a person."""
    lines = [
        *report.problems,
        f"Landed {report.records:,} records in {report.objects:,} objects"
        f" from {len(report.shards)} shards.",
    ]
    if report.held_by_others:
        lines.append(f"{len(report.held_by_others)} shards are another reader's.")
    return lines
