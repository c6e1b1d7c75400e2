"""Putting records into a Kinesis stream, all of them.

Used by `cdp put` and by the tests; a system of your own puts with whatever client it has.
Not here: reading them (`stream`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from cdp_assets.errors import PlatformError

# What one PutRecords request may hold.
_RECORDS: Final = 500
_BYTES: Final = 5 * 2**20
_RECORD_BYTES: Final = 2**20
_ATTEMPTS: Final = 10
_LONGEST_PAUSE_SECONDS: Final = 5.0


class PutError(PlatformError):
    """Records were not taken; the message says how many, and why."""


@dataclass(frozen=True)
class Record:
    """One record: records with the same partition key stay in order, in one shard."""

    partition_key: str
    data: bytes

    @property
    def size(self) -> int:
        """As Kinesis counts it."""
        return len(self.data) + len(self.partition_key.encode())


def put_records(
    client: Any,
    stream: str,
    records: Iterable[Record],
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Put records, and those again that Kinesis refused of a request, until it took them all.

    A record whose answer was lost is put twice: readers collapse repeats by its key.

    Args:
        client: of Kinesis, from boto3.
        stream: its name.
        records: a stream of any length; 500 are held at once.
        pause: waits for seconds.

    Returns:
        How many were put.

    Raises:
        PutError: a record is too large, or some were refused time and again.
    """
    count = 0
    for batch in _batches(records):
        _put(client, stream, batch, pause)
        count += len(batch)
    return count


def lines_of(lines: Iterable[bytes], key: str | None) -> Iterator[Record]:
    """A record of each line that is not blank.

    Args:
        lines: JSON objects, one a line.
        key: the field that is the partition key; without it, or in lines that lack it, a hash of
            the line.
    """
    for line in lines:
        if data := line.rstrip(b"\r\n"):
            yield Record(_partition_key(data, key), data)


def _partition_key(data: bytes, key: str | None) -> str:
    if key is not None:
        try:
            value = json.loads(data).get(key)
        except (ValueError, AttributeError, RecursionError):
            value = None
        if isinstance(value, str) and 0 < len(value) <= 256:
            return value
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for place, record in enumerate(records, 1):
        if record.size > _RECORD_BYTES:
            raise PutError(f"Record {place} has more than 1 MiB: Kinesis takes none so large.")
        if batch and (len(batch) == _RECORDS or size + record.size > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += record.size
    if batch:
        yield batch


def _put(client: Any, stream: str, batch: list[Record], pause: Callable[[float], None]) -> None:
    code = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            pause(min(0.1 * 2**attempt, _LONGEST_PAUSE_SECONDS))
        try:
            answer = client.put_records(
                StreamName=stream,
                Records=[{"Data": one.data, "PartitionKey": one.partition_key} for one in batch],
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            raise PutError(f"Kinesis answers PutRecords on {stream} with {code}.") from error
        except BotoCoreError as error:
            raise PutError(f"PutRecords on {stream} failed: {error}") from error
        # The answer has one entry per record, in order; a refused one has a code.
        refused = [
            (one, entry["ErrorCode"])
            for one, entry in zip(batch, answer["Records"], strict=True)
            if entry.get("ErrorCode")
        ]
        if not refused:
            return
        batch, code = [one for one, _ in refused], refused[-1][1]
    raise PutError(
        f"{len(batch)} records were refused {_ATTEMPTS} times by {stream} ({code}): "
        "give the stream more shards, or put more slowly."
    )
