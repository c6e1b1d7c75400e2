"""SQS, Kinesis and DynamoDB of the moto server that `s3.py` starts; fixtures to import."""

from __future__ import annotations

import json
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.kinesis import models as kinesis
from moto.kinesis.utils import decompose_shard_iterator
from moto.sqs.models import sqs_backends

from cdp_assets.resources.object_events import SQSObjectEvents
from cdp_assets.resources.object_store import S3ObjectStore
from tests.unit.s3 import REGION

PREFIX = "tenant/lake"
MAX_RECEIVE_COUNT = 5


def client(service: str, endpoint: str) -> Any:
    """A client of a service on the server; it tries each request once."""
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, config=once)  # pyright: ignore[reportCallIssue, reportArgumentType]


@dataclass
class Bucket:
    """A lake in a bucket that tells a queue of its objects; the queue has a dead-letter queue."""

    endpoint: str
    name: str
    queue_url: str
    dead_letter_url: str

    @property
    def sqs(self) -> Any:
        """A client of SQS."""
        return client("sqs", self.endpoint)

    @property
    def store(self) -> S3ObjectStore:
        """The lake."""
        return S3ObjectStore(self.name, PREFIX, REGION, self.endpoint)

    @property
    def events(self) -> SQSObjectEvents:
        """The queue as the platform sees it."""
        return SQSObjectEvents(self.queue_url, self.name, PREFIX, REGION, self.endpoint)

    def send(self, *bodies: object) -> None:
        """Put messages into the queue: text as it is, anything else as JSON."""
        for body in bodies:
            text = body if isinstance(body, str) else json.dumps(body)
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=text)

    def time_out(self) -> None:
        """Let the time pass after which messages that were taken and not deleted come again."""
        queue = sqs_backends[DEFAULT_ACCOUNT_ID][REGION].get_queue(self.name)
        for message in queue._messages:
            message.visible_at = 0.0

    def counts(self, url: str | None = None) -> tuple[int, int]:
        """How many messages wait in a queue, and how many are taken and not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url or self.queue_url, AttributeNames=names)
        waiting, taken = (int(found["Attributes"][name]) for name in names)
        return waiting, taken


@pytest.fixture
def bucket(s3_endpoint: str) -> Bucket:
    """A bucket of its own, with a queue whose messages come again after `time_out`."""
    return make_bucket(s3_endpoint)


def make_bucket(endpoint: str) -> Bucket:
    """A bucket, its queue, and the notification that joins them."""
    name = f"lake-{uuid.uuid4().hex}"
    s3, sqs = client("s3", endpoint), client("sqs", endpoint)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": _arn(sqs, dead), "maxReceiveCount": MAX_RECEIVE_COUNT}
    attributes = {"VisibilityTimeout": "300", "RedrivePolicy": json.dumps(redrive)}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    s3.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": _arn(sqs, url),
                    "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                    "Filter": {
                        "Key": {"FilterRules": [{"Name": "prefix", "Value": f"{PREFIX}/landing/"}]}
                    },
                }
            ]
        },
    )
    # S3 says that it will tell; the tests begin after that.
    sqs.purge_queue(QueueUrl=url)
    return Bucket(endpoint, name, url, dead)


def _arn(sqs: Any, url: str) -> str:
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return found["Attributes"]["QueueArn"]


@dataclass
class Stream:
    """A Kinesis stream, and a table for checkpoints."""

    endpoint: str
    name: str

    @property
    def kinesis(self) -> Any:
        """A client of Kinesis."""
        return client("kinesis", self.endpoint)

    def shards(self) -> list[str]:
        """Its shards, oldest first."""
        found = self.kinesis.list_shards(StreamName=self.name)["Shards"]
        return [shard["ShardId"] for shard in found]

    def split(self, shard: str) -> None:
        """Close a shard in favour of two."""
        found = self.kinesis.list_shards(StreamName=self.name)["Shards"]
        (place,) = [one["HashKeyRange"] for one in found if one["ShardId"] == shard]
        middle = (int(place["StartingHashKey"]) + int(place["EndingHashKey"])) // 2
        self.kinesis.split_shard(
            StreamName=self.name, ShardToSplit=shard, NewStartingHashKey=str(middle)
        )


@pytest.fixture
def stream(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Stream:
    """A stream of two shards."""
    _mend_resharding(monkeypatch)
    made = Stream(s3_endpoint, f"web.{uuid.uuid4().hex}")
    made.kinesis.create_stream(StreamName=made.name, ShardCount=2)
    return made


def make_checkpoint_table(endpoint: str) -> str:
    """A table as the deployment makes it; its name."""
    name = f"cdp-{uuid.uuid4().hex}-checkpoints"
    client("dynamodb", endpoint).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "stream", "KeyType": "HASH"},
            {"AttributeName": "shard", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "stream", "AttributeType": "S"},
            {"AttributeName": "shard", "AttributeType": "S"},
        ],
    )
    return name


def _mend_resharding(monkeypatch: pytest.MonkeyPatch) -> None:
    """As AWS has it, and moto not: a closed shard keeps its records, takes none, and has an end."""
    split, records, shard_for = (
        kinesis.Stream.split_shard,
        kinesis.KinesisBackend.get_records,
        kinesis.Stream.get_shard_for_key,
    )

    def split_shard(self: kinesis.Stream, shard_to_split: str, *rest: str) -> None:
        parent = self.shards[shard_to_split]
        kept = parent.records
        parent.records = OrderedDict()
        split(self, shard_to_split, *rest)
        parent.records = kept

    def get_records(self: Any, stream_arn: str | None, shard_iterator: str, *rest: Any) -> Any:
        following, found, behind = records(self, stream_arn, shard_iterator, *rest)
        name, shard_id, last = decompose_shard_iterator(following)
        shard = self.describe_stream(stream_arn=None, stream_name=name).get_shard(shard_id)
        ended = not shard.is_open and int(last) >= shard.get_max_sequence_number()
        return None if ended else following, found, behind

    def get_shard_for_key(self: kinesis.Stream, *key: str) -> Any:
        everything = self.shards
        self.shards = {name: shard for name, shard in everything.items() if shard.is_open}
        try:
            return shard_for(self, *key)
        finally:
            self.shards = everything

    monkeypatch.setattr(kinesis.Stream, "split_shard", split_shard)
    monkeypatch.setattr(kinesis.KinesisBackend, "get_records", get_records)
    monkeypatch.setattr(kinesis.Stream, "get_shard_for_key", get_shard_for_key)
