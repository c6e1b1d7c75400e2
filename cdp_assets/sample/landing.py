"""Objects on their way to the landing folder.

Here: what a channel hands over, and the atomic write of one object.
Not here: the content of an object (the channel modules), or which objects exist (generate.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Delivery:
    """One landing object and who is behind its rows.

    Attributes:
        source, entity: the contract the object follows.
        epoch_day: landing day, in days since 1970-01-01.
        name: file name.
        data: content as it lands, compressed if the channel compresses.
        rows: records in it.
        is_repeat: every row of it has been delivered before.
        keys, people: natural key and person index of records; the key is null where the truth has
            it already. None where all of the records are repeated.
    """

    source: str
    entity: str
    epoch_day: int
    name: str
    data: bytes | memoryview | pa.Buffer
    rows: int
    is_repeat: bool = False
    keys: pa.Array | None = None
    people: np.ndarray | None = None

    @property
    def key(self) -> str:
        """Where the object lands, relative to the landing root."""
        return f"{self.source}/{self.entity}/dt={iso_day(self.epoch_day)}/{self.name}"


def iso_day(epoch_day: int) -> str:
    """Days since 1970-01-01 as YYYY-MM-DD."""
    return date.fromordinal(epoch_day + date(1970, 1, 1).toordinal()).isoformat()


def stream_name(
    stream: str, epoch_day: int, number: int, count: int, bits: int, suffix: str
) -> str:
    """A name as Firehose gives it: stream, version, delivery time, random id.

    Args:
        stream: name of the delivery stream.
        epoch_day: landing day.
        number: of the object within the day, from 0; spreads the objects over the day.
        count: objects of the day.
        bits: 64 random bits for the id.
        suffix: file extension, with its dot.
    """
    seconds = (number * 86_400 + 43_200) // max(count, number + 1)
    clock = f"{seconds // 3600:02d}-{seconds // 60 % 60:02d}-{seconds % 60:02d}"
    tail = f"{bits:016x}"
    unique = f"{tail[:8]}-{tail[8:12]}-4{tail[13:]}-a{tail[1:4]}-{tail[::-1][:12]}"
    return f"{stream}-1-{iso_day(epoch_day)}-{clock}-{unique}{suffix}"


def write(destination: Path, key: str, data: bytes | memoryview | pa.Buffer) -> int:
    """Write one object whole or not at all; returns its size in bytes."""
    path = destination / key
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("wb") as file:
        file.write(data)
    unfinished.replace(path)
    return len(data) if isinstance(data, bytes) else memoryview(data).nbytes
