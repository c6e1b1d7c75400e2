"""Fail-points: the named places at which a kill is tried, to show that it loses nothing.

Off and free unless the setting CDP_FAILPOINT names one: `reach` then finds nothing to do. Where an
asset reads or writes, its kill is tried at each of these moments:

| Moment | Points |
|---|---|
| before it reads | `extract.before_read`, `warehouse.before_statement`, `dbt.<model>.statement` |
| after it has read | `<extract or sync>.after_read` |
| half way through a write | `lake.mid_write`, `warehouse.after_statement`, `publish.mid_write` |
| written, not committed | `<lake, sqlite, warehouse or publish>.before_commit` |
| committed, the ledger not told | `lake.after_commit`, `<extract or publish>.before_ledger` |
| the ledger told, Dagster not | `extract.after_ledger`, `<sqlite or warehouse>.after_commit` |

`dbt.<model>.finished` comes behind a model's last statement, `dbt.event` is each event of dbt that
its parent has read. On AWS every call of boto3 is two points
more: `<service>.<operation>.before` and `.after`.
Not here: who kills, what has to be equal afterwards (tests/faults).
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Final

from cdp_assets.errors import PlatformError


class FailpointError(PlatformError):
    """CDP_FAILPOINT cannot be read."""


class _Armed:
    """Counts how often each point is reached; kills this process, or takes notes.

    Args:
        point: at which to kill; None to take notes.
        hit: at which reaching of it, from 1.
        notes: a file that gets a line per point reached.
    """

    def __init__(self, point: str | None, hit: int, notes: Path | None) -> None:
        self._point = point
        self._hit = hit
        self._notes = notes
        self._hits: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reach(self, point: str) -> None:
        with self._lock:
            self._hits[point] += 1
            if point == self._point and self._hits[point] == self._hit:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._notes is not None:
                with self._notes.open("a", encoding="utf-8") as notes:
                    notes.write(f"{point}\n")


# Events of dbt, which tells of a statement before it sends it.
_DBT_EVENTS: Final = {"SQLQuery": "statement", "NodeFinished": "finished"}

_armed: _Armed | None = None


def reach(point: str) -> None:
    """Say that a fail-point is reached."""
    if _armed is not None:
        _armed.reach(point)


def is_armed() -> bool:
    """Whether a fail-point is armed in this process."""
    return _armed is not None


def arm(text: str) -> None:
    """Arm what the setting says; `point#3` kills the process when it reaches it the third time.

    Args:
        text: `point#hit`, or `>path` to write down each point that is reached; empty for none.

    Raises:
        FailpointError: it is neither.
    """
    global _armed
    if not text:
        _armed = None
        return
    point, _, hit = text.rpartition("#")
    if text.startswith(">"):
        _armed = _Armed(None, 0, Path(text[1:]))
    elif point and hit.isascii() and hit.isdecimal():
        _armed = _Armed(point, int(hit), None)
    else:
        raise FailpointError(f"CDP_FAILPOINT is {text!r}: it takes a point and a number, a#1.")
    _watch_aws()


def of_dbt(event: Any) -> None:
    """Reach a point at each statement and end of a model: a callback of dbt, in its process."""
    node = getattr(event.data, "node_info", None)
    # Tests write nothing.
    if event.info.name in _DBT_EVENTS and node and node.resource_type in ("model", "seed"):
        reach(f"dbt.{node.node_name}.{_DBT_EVENTS[event.info.name]}")


def _watch_aws() -> None:
    """Make two points of each call of the clients that are made from now on."""
    import boto3

    boto3.setup_default_session()
    events = boto3.DEFAULT_SESSION.events  # pyright: ignore[reportOptionalMemberAccess]
    for moment, hook in (("before", "before-call"), ("after", "after-call")):

        def tell(model: Any, moment: str = moment, **_: Any) -> None:
            reach(f"{model.service_model.service_name}.{model.name}.{moment}")

        events.register(hook, tell)
