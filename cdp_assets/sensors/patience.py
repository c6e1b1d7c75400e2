"""How long something has waited while nobody was at work, from one tick of a sensor to the next.

Two sensors look for what a run left undone; `follow_upstream`, which acts on what the run had done
by then, has the first word. Asked by both, the same work would be done twice.

Not here: what waits (`unpublished.py`, `unsynced.py`).
"""

from dataclasses import dataclass
from typing import Final

import dagster as dg

from cdp_assets.sensors.landing import ACTIVE

# `follow_upstream` comes every half minute, and needs some seconds.
PATIENCE_SECONDS: Final = 60


@dataclass(frozen=True)
class Wait:
    """Whether it is time to ask for what waits.

    Attributes:
        cursor: for the next tick: what waits, and since when nobody has been at work on it.
        reason: why it is not yet time; empty when it is.
    """

    cursor: str
    reason: str = ""


def wait_for(instance: dg.DagsterInstance, waiting: str, cursor: str | None, now: float) -> Wait:
    """Look whether `waiting` has waited long enough.

    Args:
        instance: that knows the runs.
        waiting: what waits, in a word.
        cursor: of the tick before.
        now: in seconds since 1970.
    """
    if instance.get_runs_count(dg.RunsFilter(statuses=ACTIVE)):
        return Wait("", "A run is on its way.")
    before, _, since = (cursor or "").partition(" ")
    began = float(since) if before == waiting else now
    reason = "" if now >= began + PATIENCE_SECONDS else "It may be asked for by follow_upstream."
    return Wait(f"{waiting} {began}", reason)
