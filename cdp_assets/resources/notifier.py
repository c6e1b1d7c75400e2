"""Telling a person that something needs them.

Here: the interface and one class per back end. Messages carry names and counts, never personal
data.
"""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

# SNS takes a subject of fewer than 100 characters, in ASCII, and 256 KB of text.
_SUBJECT: Final = 99
_BODY: Final = 60_000

_log = logging.getLogger("cdp.notice")


class Notifier(Protocol):
    """Somewhere that people look."""

    def notify(self, subject: str, body: str) -> None:
        """Send one message: `subject` is one line, `body` may be several."""
        ...


class LogNotifier:
    """Writes each message to the log, as a warning."""

    def notify(self, subject: str, body: str) -> None:
        """Send one message."""
        _log.warning("%s\n%s", subject, body)


class SNSNotifier:
    """Publishes each message to an SNS topic, whose subscribers get it by mail or otherwise.

    Args:
        client: of boto3, for SNS.
        topic_arn: of the topic.
    """

    def __init__(self, client: Any, topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn

    def notify(self, subject: str, body: str) -> None:
        """Send one message; what SNS does not take is cut off."""
        plain = " ".join(subject.encode("ascii", "replace").decode().split())
        self._client.publish(
            TopicArn=self._topic_arn, Subject=plain[:_SUBJECT], Message=body[:_BODY] or plain
        )
