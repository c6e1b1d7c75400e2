"""How far each shard of a stream was landed, and who reads it.

Here: the interface `Checkpoints` and its classes for SQLite and DynamoDB. Every change is atomic,
and made on condition that its maker still holds the shard, so a reader that was thought dead can
move nothing back. Not here: reading and landing (`sources.stream`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cdp_assets.errors import PlatformError
from cdp_assets.resources.aws import aws_fault
from cdp_assets.resources.sqlite import file_fault, open_file

# Kinesis counts in up to 129 digits; padded, the order of texts is that of numbers.
_DIGITS: Final = 129


class CheckpointsError(PlatformError):
    """The checkpoints cannot be read or written; the message says what to do."""


class LeaseLostError(RuntimeError):
    """Another reader holds the shard now: what was read and not landed is that one's to land."""


@dataclass(frozen=True)
class Batch:
    """Records of a shard that become one object.

    Attributes:
        key: of the object.
        last: sequence number of the last record; the first is the one after the checkpoint.
    """

    key: str
    last: str


@dataclass(frozen=True)
class Checkpoint:
    """How far a shard was landed.

    Attributes:
        sequence: of the last record landed; empty at the beginning.
        intended: a batch that was begun, and may or may not have been written.
        is_done: the shard was closed and every record of it is landed.
    """

    sequence: str = ""
    intended: Batch | None = None
    is_done: bool = False


@dataclass(frozen=True)
class Shard:
    """One shard of one stream."""

    stream: str
    name: str


class Checkpoints(Protocol):
    """Leases and places of shards. `now` is in seconds since 1970, and need not be exact.

    Every method but `read` and `claim` raises LeaseLostError when `owner` does not hold the shard.
    """

    def read(self, shard: Shard) -> Checkpoint:
        """How far a shard is."""
        ...

    def claim(self, shard: Shard, owner: str, now: float, until: float) -> Checkpoint | None:
        """Take a shard that nobody holds, or hold it longer; None when another holds it."""
        ...

    def intend(self, shard: Shard, owner: str, batch: Batch) -> None:
        """Say which batch is written next; whoever holds the shard after us writes the same."""
        ...

    def advance(self, shard: Shard, owner: str, sequence: str) -> None:
        """Say that everything up to a sequence number is landed; never moves back."""
        ...

    def finish(self, shard: Shard, owner: str) -> None:
        """Say that a closed shard is landed to its end."""
        ...

    def release(self, shard: Shard, owner: str) -> None:
        """Let another reader have the shard at once."""
        ...


class SQLiteCheckpoints:
    """One SQLite file; a connection per call, so threads and processes may share it.

    Args:
        path: the file; made with its folder on first use.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, shard: Shard) -> Checkpoint:
        """How far a shard is."""
        with self._connect() as connection:
            return _read(connection, shard)

    def claim(self, shard: Shard, owner: str, now: float, until: float) -> Checkpoint | None:
        """Take a shard that nobody holds, or hold it longer; None when another holds it."""
        sql = """
            insert into checkpoints (stream, shard, owner, expires_at) values (?1, ?2, ?3, ?5)
            on conflict do update set owner = ?3, expires_at = ?5
            where owner in ('', ?3) or expires_at <= ?4
        """
        with self._connect() as connection:
            values = [shard.stream, shard.name, owner, now, until]
            taken = connection.execute(sql, values).rowcount
            return _read(connection, shard) if taken else None

    def intend(self, shard: Shard, owner: str, batch: Batch) -> None:
        """Say which batch is written next."""
        self._change(
            shard, owner, "intended_key = ?, intended_last = ?", [batch.key, _padded(batch.last)]
        )

    def advance(self, shard: Shard, owner: str, sequence: str) -> None:
        """Say that everything up to a sequence number is landed; never moves back."""
        self._change(
            shard,
            owner,
            "sequence = max(sequence, ?), intended_key = '', intended_last = ''",
            [_padded(sequence)],
        )

    def finish(self, shard: Shard, owner: str) -> None:
        """Say that a closed shard is landed to its end."""
        self._change(shard, owner, "is_done = 1, owner = '', expires_at = 0", [])

    def release(self, shard: Shard, owner: str) -> None:
        """Let another reader have the shard at once."""
        self._change(shard, owner, "owner = '', expires_at = 0", [])

    def _change(self, shard: Shard, owner: str, change: str, values: list[object]) -> None:
        sql = f"update checkpoints set {change} where stream = ? and shard = ? and owner = ?"
        with self._connect() as connection:
            changed = connection.execute(sql, [*values, shard.stream, shard.name, owner]).rowcount
        if not changed:
            raise LeaseLostError(shard.name)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            with open_file(self._path) as connection:
                connection.execute(_TABLE)
                yield connection
        except sqlite3.OperationalError as error:
            raise CheckpointsError(
                f"The checkpoints {self._path} cannot be used: {file_fault(error)}"
            ) from error
        except sqlite3.DatabaseError as error:
            raise CheckpointsError(
                f"The checkpoints {self._path} cannot be used ({error}). Without the file, streams "
                "are read again from their beginning: repeats are collapsed, and cost time."
            ) from error


_TABLE: Final = """
    create table if not exists checkpoints (
        stream text not null,
        shard text not null,
        owner text not null,
        expires_at real not null,
        sequence text not null default '',
        intended_key text not null default '',
        intended_last text not null default '',
        is_done integer not null default 0,
        primary key (stream, shard)
    )
"""


def _read(connection: sqlite3.Connection, shard: Shard) -> Checkpoint:
    sql = """
        select sequence, intended_key, intended_last, is_done from checkpoints
        where stream = ? and shard = ?
    """
    found = connection.execute(sql, [shard.stream, shard.name]).fetchone()
    return _checkpoint(*found) if found else Checkpoint()


class DynamoDBCheckpoints:
    """One item per shard: partition key `stream`, sort key `shard`, both text.

    Args:
        table: its name; it must exist.
        region: of the table.
        endpoint_url: of another DynamoDB than AWS; None is what botocore finds.
    """

    def __init__(self, table: str, region: str, endpoint_url: str | None = None) -> None:
        self._table = table
        self._client: Any = boto3.client(
            "dynamodb",
            region_name=region,
            endpoint_url=endpoint_url,
            config=Config(retries={"mode": "standard", "max_attempts": 8}),
        )

    def read(self, shard: Shard) -> Checkpoint:
        """How far a shard is."""
        answer = self._call("get_item", Key=_item_key(shard), ConsistentRead=True)
        return _of_item(answer.get("Item", {}))

    def claim(self, shard: Shard, owner: str, now: float, until: float) -> Checkpoint | None:
        """Take a shard that nobody holds, or hold it longer; None when another holds it."""
        try:
            answer = self._call(
                "update_item",
                Key=_item_key(shard),
                UpdateExpression="set #owner = :me, expires_at = :until",
                ConditionExpression=(
                    "attribute_not_exists(#owner) or #owner = :me or expires_at <= :now"
                ),
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={
                    ":me": {"S": owner},
                    ":now": {"N": f"{now:.3f}"},
                    ":until": {"N": f"{until:.3f}"},
                },
                ReturnValues="ALL_NEW",
            )
        except LeaseLostError:
            return None
        return _of_item(answer["Attributes"])

    def intend(self, shard: Shard, owner: str, batch: Batch) -> None:
        """Say which batch is written next."""
        change = "set intended_key = :key, intended_last = :last"
        self._change(shard, owner, change, {":key": batch.key, ":last": _padded(batch.last)})

    def advance(self, shard: Shard, owner: str, sequence: str) -> None:
        """Say that everything up to a sequence number is landed; never moves back."""
        place = _padded(sequence)
        try:
            self._change(
                shard,
                owner,
                "set #sequence = :place remove intended_key, intended_last",
                {":place": place},
                "(attribute_not_exists(#sequence) or #sequence < :place)",
            )
        except LeaseLostError:
            # A retry of a change whose answer was lost finds it made.
            self._change(
                shard,
                owner,
                "remove intended_key, intended_last",
                {":place": place},
                "#sequence >= :place",
            )

    def finish(self, shard: Shard, owner: str) -> None:
        """Say that a closed shard is landed to its end."""
        change = "set is_done = :done remove #owner, expires_at"
        try:
            self._change(shard, owner, change, {":done": "1"})
        except LeaseLostError:
            # As in `advance`: it may be done, and its answer lost.
            if not self.read(shard).is_done:
                raise

    def release(self, shard: Shard, owner: str) -> None:
        """Let another reader have the shard at once."""
        try:
            self._change(shard, owner, "remove #owner, expires_at", {})
        except LeaseLostError:
            # The same: nobody holds it then.
            answer = self._call("get_item", Key=_item_key(shard), ConsistentRead=True)
            if "owner" in answer.get("Item", {}):
                raise

    def _change(
        self,
        shard: Shard,
        owner: str,
        change: str,
        values: Mapping[str, str],
        condition: str = "",
    ) -> None:
        names = {"#owner": "owner"}
        if "#sequence" in change + condition:
            names["#sequence"] = "sequence"
        self._call(
            "update_item",
            Key=_item_key(shard),
            UpdateExpression=change,
            ConditionExpression=" and ".join(filter(None, ["#owner = :me", condition])),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={
                ":me": {"S": owner},
                **{name: {"S": value} for name, value in values.items()},
            },
        )

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(TableName=self._table, **arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            if code == "ConditionalCheckFailedException":
                raise LeaseLostError(arguments["Key"]["shard"]["S"]) from None
            raise CheckpointsError(
                f"DynamoDB answers {operation} on {self._table} with {code}: the table "
                "(CDP_CHECKPOINT_TABLE) must exist, with keys stream and shard, and the role needs "
                "dynamodb:GetItem and dynamodb:UpdateItem."
            ) from error
        except BotoCoreError as error:
            raise CheckpointsError(
                f"{operation} on {self._table} failed: {aws_fault(error)}"
            ) from error


def _item_key(shard: Shard) -> dict[str, dict[str, str]]:
    return {"stream": {"S": shard.stream}, "shard": {"S": shard.name}}


def _of_item(item: Mapping[str, Mapping[str, str]]) -> Checkpoint:
    names = ("sequence", "intended_key", "intended_last", "is_done")
    return _checkpoint(*(item.get(name, {"S": ""})["S"] for name in names))


def _checkpoint(sequence: str, key: str, last: str, is_done: object) -> Checkpoint:
    intended = Batch(key, _unpadded(last)) if key else None
    return Checkpoint(_unpadded(sequence), intended, bool(is_done))


def _padded(sequence: str) -> str:
    return sequence.rjust(_DIGITS, "0")


def _unpadded(sequence: str) -> str:
    return sequence.lstrip("0")
