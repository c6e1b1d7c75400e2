"""Telling a person that something needs them.

Here: the interface and the laptop's class. Messages carry names and counts, never personal data.
"""

from __future__ import annotations

import logging
from typing import Protocol

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
