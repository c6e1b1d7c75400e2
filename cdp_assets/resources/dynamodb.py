"""DynamoDB, as far as the ledger and the profile store share it.

Here: how a table is made, items as plain dictionaries, and calls that must not lose anything:
conditional writes in transactions, batches whose leftovers are asked for again, pages. Not here:
what is in an item (`dynamodb_ledger`, `dynamodb_profiles`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cdp_assets.errors import PlatformError
from cdp_assets.resources.aws import aws_fault

Value = str | int | bytes
Item = dict[str, Value]
Key = tuple[str, str]

# An item without a natural sort key.
ONLY: Final = "-"
# Past this time (seconds since 1970) DynamoDB removes an item by itself.
EXPIRES: Final = "expires_at"
# What DynamoDB takes in one transaction, at most.
TRANSACTION_ITEMS: Final = 100

_GET_ITEMS: Final = 100
_WRITE_ITEMS: Final = 25
# DynamoDB takes 4 MB in one transaction; the rest is for names and the encoding.
_TRANSACTION_BYTES: Final = 3_000_000
_ROUNDS: Final = 12
_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 5.0
# What a cancelled transaction may be asked again for; the condition of an item is none of them.
_PASSING: Final = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)


class DynamoDBError(PlatformError):
    """DynamoDB refused or could not be reached; the message names the table and what to do."""


def table_definition(name: str, kms_key_id: str | None = None) -> dict[str, Any]:
    """How a table of this platform is made: what `CreateTable` takes.

    One definition for tests and deployment. Encrypted with the tenant's KMS key (without one, with
    AWS's own), and guarded against deletion. `create_table` adds what `CreateTable` cannot say.

    Args:
        name: of the table.
        kms_key_id: id or ARN of the tenant's key.
    """
    encryption: dict[str, Any] = {"Enabled": True, "SSEType": "KMS"}
    if kms_key_id:
        encryption["KMSMasterKeyId"] = kms_key_id
    return {
        "TableName": name,
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
        "SSESpecification": encryption,
        "DeletionProtectionEnabled": True,
    }


def create_table(client: Any, name: str, kms_key_id: str | None = None) -> None:
    """Make a table, with point-in-time recovery and with items that expire."""
    client.create_table(**table_definition(name, kms_key_id))
    client.get_waiter("table_exists").wait(TableName=name)
    client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES}
    )


def dynamodb_client(region: str) -> Any:
    """A client that asks again, with growing pauses, where DynamoDB is busy or a call is lost.

    The endpoint is AWS's, or what AWS_ENDPOINT_URL_DYNAMODB and AWS_ENDPOINT_URL say.
    """
    retries = Config(
        retries={"mode": "standard", "max_attempts": 8},
        connect_timeout=5,
        read_timeout=20,
        max_pool_connections=32,
    )
    return boto3.client("dynamodb", region_name=region, config=retries)


@dataclass(frozen=True)
class Write:
    """One conditional write within a transaction.

    Attributes:
        item: the whole item to put, or the key of the item to update.
        condition: a condition expression, or empty.
        update: an update expression; without one the item is put.
        values: of the placeholders, without their colon.
    """

    item: Item
    condition: str = ""
    update: str = ""
    values: Mapping[str, Value] | None = None


class Table:
    """One DynamoDB table. Safe for several threads.

    Reads are strongly consistent: what was written is seen, by whoever reads.

    Args:
        client: of boto3.
        name: of the table.
        what: how messages call it, for example `object ledger`.
    """

    def __init__(self, client: Any, name: str, what: str) -> None:
        self._client = client
        self._name = name
        self._what = what

    def get(self, pk: str, sk: str = ONLY) -> Item | None:
        """Read one item."""
        with self._told():
            answer = self._client.get_item(
                TableName=self._name, Key=_key(pk, sk), ConsistentRead=True
            )
        return _plain(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Iterable[Key], columns: Sequence[str]) -> dict[Key, Item]:
        """Read these columns of the items that exist, by key."""
        found: dict[Key, Item] = {}
        names = {f"#c{place}": name for place, name in enumerate(("pk", "sk", *columns))}
        for some in _batches(keys, _GET_ITEMS):
            left = [_key(*key) for key in some]
            for wait in waits(f"The {self._what} {self._name} left items unread"):
                with self._told():
                    answer = self._client.batch_get_item(
                        RequestItems={
                            self._name: {
                                "Keys": left,
                                "ConsistentRead": True,
                                "ProjectionExpression": ", ".join(names),
                                "ExpressionAttributeNames": names,
                            }
                        }
                    )
                for raw in answer["Responses"].get(self._name, []):
                    item = _plain(raw)
                    found[str(item["pk"]), str(item["sk"])] = item
                left = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
                if not left:
                    break
                wait()
        return found

    def query(self, pk: str, *, after: str | None = None) -> Iterator[Item]:
        """Every item of a partition by its sort key, a page in memory at a time.

        Args:
            pk: the partition.
            after: only items whose sort key is larger.
        """
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if after is not None:
            condition, values = "pk = :pk and sk > :after", {**values, ":after": {"S": after}}
        start: dict[str, Any] = {}
        while True:
            with self._told():
                page = self._client.query(
                    TableName=self._name,
                    KeyConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ConsistentRead=True,
                    **start,
                )
            yield from map(_plain, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def count_up(self, pk: str, name: str) -> int:
        """Add one to a number and give it back. An answer that is lost costs a number."""
        with self._told():
            answer = self._client.update_item(
                TableName=self._name,
                Key=_key(pk, ONLY),
                UpdateExpression="add #n :one",
                ExpressionAttributeNames={"#n": name},
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="UPDATED_NEW",
            )
        return int(_plain(answer["Attributes"])[name])

    def put_all(self, items: Iterable[Item]) -> None:
        """Put items without a condition: where the last writer may win."""
        self._batch({"PutRequest": {"Item": _typed(item)}} for item in items)

    def delete_all(self, keys: Iterable[Key]) -> None:
        """Delete items without a condition; one that is not there is no error."""
        self._batch({"DeleteRequest": {"Key": _key(*key)}} for key in keys)

    def transact(self, writes: Sequence[Write]) -> list[Write]:
        """Write all of these or none.

        Returns:
            The writes whose condition did not hold; empty when all were written. A write whose
            answer was lost is done again, so its condition has to hold after itself, or the
            caller has to look.
        """
        for wait in waits(f"The {self._what} {self._name} stayed busy"):
            try:
                with self._told(passing=("TransactionCanceledException",)):
                    self._client.transact_write_items(
                        TransactItems=[self._action(write) for write in writes]
                    )
            except ClientError as error:
                reasons = [
                    reason.get("Code", "None")
                    for reason in error.response.get("CancellationReasons", [])
                ]
                failed = [
                    write
                    for write, reason in zip(writes, reasons, strict=False)
                    if reason == "ConditionalCheckFailed"
                ]
                if failed:
                    return failed
                if not reasons or set(reasons) - _PASSING:
                    raise self._error(error) from error
                wait()
            else:
                return []
        raise AssertionError("unreachable")

    def write_each(self, writes: Sequence[Write]) -> list[Write]:
        """Write those whose own condition holds, many to a request; no item twice.

        `BatchWriteItem` takes no conditions, so these are transactions: one whose condition fails
        is left out and the rest is sent again.

        Returns:
            The writes that were left out.
        """
        left_out: list[Write] = []
        for group in _groups(writes):
            while group and (failed := self.transact(group)):
                left_out += failed
                group = [write for write in group if write not in failed]
        return left_out

    def _batch(self, requests: Iterable[dict[str, Any]]) -> None:
        for left in _batches(requests, _WRITE_ITEMS):
            for wait in waits(f"The {self._what} {self._name} left items unwritten"):
                with self._told():
                    answer = self._client.batch_write_item(RequestItems={self._name: left})
                left = answer.get("UnprocessedItems", {}).get(self._name, [])
                if not left:
                    break
                wait()

    def _action(self, write: Write) -> dict[str, Any]:
        body: dict[str, Any] = {"TableName": self._name}
        if write.condition:
            body["ConditionExpression"] = write.condition
        if write.values:
            body["ExpressionAttributeValues"] = _typed(
                {f":{name}": value for name, value in write.values.items()}
            )
        if write.update:
            body["Key"] = _typed({name: write.item[name] for name in ("pk", "sk")})
            body["UpdateExpression"] = write.update
            return {"Update": body}
        body["Item"] = _typed(write.item)
        return {"Put": body}

    @contextmanager
    def _told(self, passing: Sequence[str] = ()) -> Iterator[None]:
        """Turn what AWS says into an error of ours, except the codes in `passing`."""
        try:
            yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in passing:
                raise
            raise self._error(error) from error
        except BotoCoreError as error:
            raise DynamoDBError(
                f"The {self._what} (DynamoDB table {self._name}) cannot be reached:"
                f" {aws_fault(error)}"
            ) from error

    def _error(self, error: ClientError) -> DynamoDBError:
        told = error.response.get("Error", {})
        code = told.get("Code", "an unknown error")
        where = f"The {self._what} (DynamoDB table {self._name})"
        if code == "ResourceNotFoundException":
            return DynamoDBError(f"{where} does not exist: deploy it, or mend its setting.")
        if code == "AccessDeniedException":
            return DynamoDBError(f"{where} is closed to this role: {told.get('Message', '')}")
        return DynamoDBError(f"{where} refused {error.operation_name}: {aws_fault(error)}")


def item_bytes(item: Mapping[str, Value]) -> int:
    """The size of an item as DynamoDB counts it: names and values; a number at its most."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Value) -> int:
    if isinstance(value, int):
        return 21
    return len(value.encode() if isinstance(value, str) else value)


def _groups(writes: Sequence[Write]) -> Iterator[list[Write]]:
    """The writes as they fit into transactions."""
    group: list[Write] = []
    size = 0
    for write in writes:
        more = item_bytes(write.item)
        if group and (len(group) == TRANSACTION_ITEMS or size + more > _TRANSACTION_BYTES):
            yield group
            group, size = [], 0
        group.append(write)
        size += more
    if group:
        yield group


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def waits(trouble: str) -> Iterator[Any]:
    """Functions that wait, each longer than the one before; raises when patience ends."""
    for attempt in range(_ROUNDS):
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)
        yield lambda longest=longest: time.sleep(random.uniform(longest / 2, longest))
    raise DynamoDBError(f"{trouble} after {_ROUNDS} attempts: wait a little and run again.")


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _typed(item: Mapping[str, Value]) -> dict[str, Any]:
    return {name: _typed_value(value) for name, value in item.items()}


def _typed_value(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    return {"B": value} if isinstance(value, bytes) else {"N": str(value)}


def _plain(item: Mapping[str, Any]) -> Item:
    return {name: _plain_value(*value.items()) for name, value in item.items()}


def _plain_value(typed: tuple[str, Any]) -> Value:
    kind, value = typed
    return int(value) if kind == "N" else value
