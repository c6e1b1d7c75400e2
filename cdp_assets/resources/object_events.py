"""News of landing objects: S3's event notifications, from an SQS queue.

Here: the interface `ObjectEvents`, one class per back end, and what a message says. A message is a
hint where to look and no more: it may come twice, late, in any order, or never. Not here: what is
loaded (the ledger knows), when a message may go (`sensors.events`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol
from urllib.parse import unquote_plus

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cdp_assets.errors import PlatformError

# What SQS gives, and takes, in one request.
_BATCH: Final = 10
_CREATED: Final = "ObjectCreated:"
_BRIDGE_CREATED: Final = "Object Created"


class ObjectEventsError(PlatformError):
    """The queue cannot be used; the message names what was refused."""


class NoEventError(ValueError):
    """A message that is no event of this lake's bucket; says what is wrong, never the content."""


@dataclass(frozen=True)
class ObjectEvent:
    """An object was written.

    Attributes:
        key: below the lake.
        version: as the object store tells it, or empty where the event does not.
    """

    key: str
    version: str


@dataclass(frozen=True)
class Message:
    """What one message of the queue says.

    Attributes:
        name: of the message, for a log.
        receipt: with which it is deleted.
        events: objects of this lake that were written; none for any other news.
        problem: why nobody can read it, or empty.
    """

    name: str
    receipt: str
    events: tuple[ObjectEvent, ...] = ()
    problem: str = ""


class ObjectEvents(Protocol):
    """A queue with time-outs: a message that is not deleted comes again."""

    def receive(self, limit: int) -> Sequence[Message]:
        """Take up to `limit` messages that wait, without waiting for more."""
        ...

    def delete(self, messages: Iterable[Message]) -> None:
        """Let go of messages; one that cannot be deleted comes again."""
        ...


class NoObjectEvents:
    """No queue: new objects are found by listing alone."""

    def receive(self, limit: int) -> Sequence[Message]:
        """Nothing."""
        del limit
        return ()

    def delete(self, messages: Iterable[Message]) -> None:
        """Nothing to let go of."""


class SQSObjectEvents:
    """An SQS queue that S3, SNS or EventBridge writes to.

    Args:
        queue_url: of the queue.
        bucket: of the lake.
        prefix: of the lake in the bucket, or empty.
        region: of the queue.
        endpoint_url: of another SQS than AWS; None is what botocore finds.
    """

    def __init__(
        self, queue_url: str, bucket: str, prefix: str, region: str, endpoint_url: str | None = None
    ) -> None:
        self._queue_url = queue_url
        self._bucket = bucket
        self._root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client: Any = boto3.client(
            "sqs",
            region_name=region,
            endpoint_url=endpoint_url,
            config=Config(retries={"mode": "standard", "max_attempts": 5}),
        )

    def receive(self, limit: int) -> Sequence[Message]:
        """Take up to `limit` messages that wait, without waiting for more."""
        taken: list[Message] = []
        while len(taken) < limit:
            answer = self._call(
                "receive_message",
                MaxNumberOfMessages=min(_BATCH, limit - len(taken)),
                WaitTimeSeconds=0,
            )
            found = answer.get("Messages", [])
            taken += [self._message(message) for message in found]
            if not found:
                break
        return taken

    def delete(self, messages: Iterable[Message]) -> None:
        """Let go of messages; one that cannot be deleted comes again."""
        left = iter(messages)
        while batch := list(islice(left, _BATCH)):
            self._call(
                "delete_message_batch",
                Entries=[
                    {"Id": str(place), "ReceiptHandle": message.receipt}
                    for place, message in enumerate(batch)
                ],
            )

    def _message(self, message: Mapping[str, Any]) -> Message:
        name, receipt = message["MessageId"], message["ReceiptHandle"]
        try:
            events = tuple(object_events(message["Body"], self._bucket, self._root))
        except NoEventError as error:
            return Message(name, receipt, problem=str(error))
        return Message(name, receipt, events)

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(QueueUrl=self._queue_url, **arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            raise ObjectEventsError(
                f"SQS answers {operation} on {self._queue_url} with {code}: look at the queue's "
                "address (CDP_LANDING_QUEUE_URL) and at what the role may do with it."
            ) from error
        except BotoCoreError as error:
            raise ObjectEventsError(
                f"{operation} on {self._queue_url} failed: {error} Look at the queue's address."
            ) from error


def object_events(body: str, bucket: str, root: str) -> Iterator[ObjectEvent]:
    """The objects of the lake that a message says were written; none for a deletion or a test.

    Takes what S3 sends to a queue, what EventBridge sends, and either in an envelope of SNS.

    Args:
        body: of the message.
        bucket: of the lake.
        root: of the lake in the bucket: empty, or ending with `/`.

    Raises:
        NoEventError: it is none of these, or speaks of another bucket.
    """
    for name, key, version in _written(_opened(body)):
        if name != bucket:
            raise NoEventError("it speaks of another bucket than the lake's")
        # Of elsewhere in the bucket there is nothing to say: a notification need not be filtered.
        if key.startswith(root):
            yield ObjectEvent(key.removeprefix(root), version.strip('"'))


def _opened(body: str) -> dict[str, Any]:
    """The event in a message, out of its envelope."""
    event = _object(body)
    if event.get("Type") == "Notification" and "TopicArn" in event:
        event = _object(event.get("Message"))
    return event


def _object(text: object) -> dict[str, Any]:
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise NoEventError("it is no JSON object")
    return value


def _written(event: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Bucket, key and version of each object that an event says was written."""
    try:
        if "Records" in event:
            return [
                _described(record["s3"], encoded=True)
                for record in event["Records"]
                if record["eventName"].removeprefix("s3:").startswith(_CREATED)
            ]
        if event.get("source") == "aws.s3":
            created = event["detail-type"] == _BRIDGE_CREATED
            return [_described(event["detail"], encoded=False)] if created else []
        if event.get("Event") == "s3:TestEvent":
            return []
    except (KeyError, TypeError, AttributeError):
        raise NoEventError("it lacks what an S3 event has") from None
    raise NoEventError("it is no S3 event")


def _described(place: Mapping[str, Any], *, encoded: bool) -> tuple[str, str, str]:
    """Bucket, key and version, as S3 (`eTag`, key encoded as in a form) or EventBridge says it."""
    written = place["object"]
    key, version = written["key"], written.get("eTag") or written.get("etag") or ""
    if not (isinstance(key, str) and isinstance(version, str)):
        raise NoEventError("its key or its ETag is no text")
    return place["bucket"]["name"], unquote_plus(key) if encoded else key, version
