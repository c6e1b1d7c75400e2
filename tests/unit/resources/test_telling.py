"""What reaches SNS and CloudWatch, over HTTP."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp_assets.resources.metrics import CloudWatchMetrics, LogMetrics, Measure
from cdp_assets.resources.notifier import SNSNotifier
from tests.unit.aws import client_of
from tests.unit.s3 import REGION, s3_endpoint

__all__ = ["s3_endpoint"]


@pytest.fixture
def inbox(s3_endpoint: str) -> tuple[SNSNotifier, Any]:
    """A notifier, and a function that reads what its subscriber got."""
    sns, sqs = client_of("sns", s3_endpoint), client_of("sqs", s3_endpoint)
    name = f"inbox-{uuid.uuid4().hex}"
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:123456789012:{name}"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def read() -> dict[str, str]:
        [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
        return json.loads(message["Body"])

    return SNSNotifier(sns, topic), read


def test_a_message_reaches_the_subscribers_of_the_topic(inbox: tuple[SNSNotifier, Any]) -> None:
    notifier, read = inbox
    notifier.notify("Run failed", "step: ValueError\nstep: OSError")
    got = read()
    assert (got["Subject"], got["Message"]) == ("Run failed", "step: ValueError\nstep: OSError")


def test_what_sns_would_refuse_is_cut_and_sent(inbox: tuple[SNSNotifier, Any]) -> None:
    notifier, read = inbox
    notifier.notify("Größe\n" + "x" * 200, "é" * 300_000)
    got = read()
    assert got["Subject"] == "Gr??e " + "x" * 93
    assert len(got["Message"].encode()) <= 256 * 1024


def test_measures_are_kept_by_tenant_and_source(s3_endpoint: str) -> None:
    client = client_of("cloudwatch", s3_endpoint)
    measures = [Measure("RecordsIn", number, source="crm") for number in range(1001)]
    CloudWatchMetrics(client, "acme").put([*measures, Measure("RunSeconds", 2.5, "Seconds")])
    dimensions = [{"Name": "tenant", "Value": "acme"}]
    found = _statistics(client, "RunSeconds", dimensions)
    assert (found["Sum"], found["Unit"]) == (2.5, "Seconds")
    crm = [*dimensions, {"Name": "source", "Value": "crm"}]
    assert _statistics(client, "RecordsIn", crm)["SampleCount"] == 1001
    listed = client.list_metrics(Namespace="CDP")["Metrics"]
    assert {each["Name"] for metric in listed for each in metric["Dimensions"]} == {
        "tenant",
        "source",
    }


def test_on_a_laptop_measures_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "cdp.metrics")
    LogMetrics().put([Measure("RecordsIn", 3, source="crm"), Measure("RunSeconds", 2, "Seconds")])
    assert caplog.messages == ["RecordsIn of crm: 3 Count", "RunSeconds: 2 Seconds"]


def _statistics(client: Any, name: str, dimensions: list[dict[str, str]]) -> Any:
    now = datetime.now(UTC)
    [point] = client.get_metric_statistics(
        Namespace="CDP",
        MetricName=name,
        Dimensions=dimensions,
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=7200,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    return point
