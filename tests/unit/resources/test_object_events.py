"""What the messages of a queue say, in every form that S3's news can take, over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdp_assets.resources.object_events import (
    Message,
    NoEventError,
    NoObjectEvents,
    ObjectEvent,
    ObjectEventsError,
    SQSObjectEvents,
    object_events,
)
from tests.unit.s3 import s3_endpoint
from tests.unit.streaming import MAX_RECEIVE_COUNT, PREFIX, REGION, Bucket, bucket

__all__ = ["bucket", "s3_endpoint"]

KEY = "landing/crm/contacts/dt=2026-03-01/ä b+c%.csv"
ENCODED = "lake/landing/crm/contacts/dt%3D2026-03-01/%C3%A4+b%2Bc%25.csv"


def s3_event(key: str = ENCODED, name: str = "ObjectCreated:Put", **more: Any) -> dict[str, Any]:
    """As S3 sends it to a queue."""
    written = {"key": key, "size": 5, "eTag": "e1", "versionId": "v", "sequencer": "00"}
    record = {
        "eventName": name,
        "s3": {"bucket": {"name": "lake"}, "object": written | more},
    }
    return {"Records": [record]}


def bridge_event(kind: str = "Object Created") -> dict[str, Any]:
    """As EventBridge sends it: the key is not encoded."""
    written = {"key": f"lake/{KEY}", "size": 5, "etag": "e1", "version-id": "v"}
    detail = {"bucket": {"name": "lake"}, "object": written, "reason": "PutObject"}
    return {"source": "aws.s3", "detail-type": kind, "detail": detail}


def enveloped(event: object) -> dict[str, Any]:
    """In an envelope of SNS."""
    return {"Type": "Notification", "TopicArn": "arn:t", "Message": json.dumps(event)}


def said(event: object) -> list[ObjectEvent]:
    body = event if isinstance(event, str) else json.dumps(event)
    return list(object_events(body, "lake", "lake/"))


@pytest.mark.parametrize("wrap", [lambda event: event, enveloped], ids=["plain", "sns"])
@pytest.mark.parametrize(
    "event",
    [s3_event(), s3_event(name="s3:ObjectCreated:CompleteMultipartUpload"), bridge_event()],
    ids=["s3", "multipart", "eventbridge"],
)
def test_every_form_of_an_event_names_the_object_below_the_lake(event, wrap):
    assert said(wrap(event)) == [ObjectEvent(KEY, "e1")]


def test_one_message_may_speak_of_many_objects():
    records = [s3_event(key)["Records"][0] for key in ("lake/landing/a", "lake/landing/b")]
    assert [event.key for event in said({"Records": records})] == ["landing/a", "landing/b"]


@pytest.mark.parametrize(
    "event",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"},
        s3_event(name="ObjectRemoved:Delete"),
        s3_event(name="ObjectRemoved:DeleteMarkerCreated"),
        s3_event(name="LifecycleExpiration:Delete"),
        s3_event(name="ObjectTagging:Put"),
        bridge_event("Object Deleted"),
        s3_event("other/landing/a"),
        {"Records": []},
    ],
)
def test_news_of_no_object_of_this_lake_says_nothing(event):
    assert said(event) == []


@pytest.mark.parametrize(
    "event",
    [
        "",
        "no JSON",
        "[]",
        "null",
        "[" * 100_000,
        {},
        {"Records": 1},
        {"Records": [1]},
        {"Records": [{"eventName": "ObjectCreated:Put"}]},
        s3_event(key=None),  # pyright: ignore[reportArgumentType]
        s3_event(eTag=7),
        {"source": "aws.ec2", "detail-type": "Object Created"},
        {"source": "aws.s3"},
        enveloped("no JSON"),
        {"Type": "Notification", "TopicArn": "arn:t", "Message": None},
    ],
)
def test_what_is_no_event_is_refused(event):
    with pytest.raises(NoEventError):
        said(event)


def test_an_event_of_another_bucket_is_refused_and_its_content_not_repeated():
    event = s3_event("lake/jane@example.com")
    event["Records"][0]["s3"]["bucket"]["name"] = "else"
    with pytest.raises(NoEventError, match="another bucket") as refused:
        said(event)
    assert "jane" not in str(refused.value)


def test_what_s3_tells_the_queue_is_received_and_deleted(bucket: Bucket) -> None:
    bucket.store.write(KEY, b"hello")
    bucket.store.delete(KEY)
    received = bucket.events.receive(100)
    version = "5d41402abc4b2a76b9719d911017c592"
    assert [message.events for message in received] == [(ObjectEvent(KEY, version),), ()]
    bucket.events.delete(received)
    assert bucket.counts() == (0, 0)


def test_messages_that_are_not_deleted_come_again(bucket: Bucket) -> None:
    bucket.send(s3_event())
    assert len(bucket.events.receive(10)) == 1
    assert bucket.events.receive(10) == []
    bucket.time_out()
    assert len(bucket.events.receive(10)) == 1


def test_no_more_messages_are_taken_than_asked_for_and_all_can_be_deleted(bucket: Bucket) -> None:
    bucket.send(*(s3_event(f"{PREFIX}/landing/{n}") for n in range(25)))
    received = bucket.events.receive(23)
    assert len(received) == 23
    assert bucket.counts() == (2, 23)
    bucket.events.delete(received)
    assert bucket.counts() == (2, 0)


def test_a_message_that_nobody_can_read_ends_in_the_dead_letter_queue(bucket: Bucket) -> None:
    bucket.send("jane@example.com")
    for _ in range(MAX_RECEIVE_COUNT):
        (message,) = bucket.events.receive(10)
        assert message.problem == "it is no JSON object"
        bucket.time_out()
    assert bucket.events.receive(10) == []
    assert bucket.counts(bucket.dead_letter_url) == (1, 0)


def test_a_queue_that_is_not_there_is_named(s3_endpoint: str) -> None:
    events = SQSObjectEvents(f"{s3_endpoint}/123/nowhere", "b", "", REGION, s3_endpoint)
    with pytest.raises(ObjectEventsError, match=r"receive_message on .*/nowhere"):
        events.receive(1)


def test_without_a_queue_there_is_no_news():
    assert list(NoObjectEvents().receive(10)) == []
    NoObjectEvents().delete([Message("m", "r")])
