"""When assets run by themselves, and how old they may get.

Here: every automation condition and freshness policy, each with a label and its reason.
Not here: sensors (they find new objects) and schedules (the alternative to conditions).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, cast

import dagster as dg

# The cast: `|` narrows to a type on which the stubs do not know `since_last_handled`.
_CHANGED: Final = cast(
    "dg.AutomationCondition",
    dg.AutomationCondition.any_deps_updated().with_label("any upstream changed, any day")
    | dg.AutomationCondition.code_version_changed().with_label("its code changed"),
)

# Not `eager()`: that ignores an object for an old day (`in_latest_time_window`) and never fires an
# unpartitioned table below a source that has a gap (`any_deps_missing`). Here any partition of
# any upstream counts. `since_last_handled` makes it an edge, so a failing run is not repeated.
WHEN_UPSTREAM_CHANGES: Final = (
    _CHANGED.since_last_handled().with_label("changed and not handled yet")
    & ~dg.AutomationCondition.any_deps_in_progress().with_label("upstream is being rebuilt")
    & ~dg.AutomationCondition.in_progress().with_label("is being rebuilt")
).with_label("follow upstream, late days included")

# Sources land daily; a day and a half leaves room for a late export before anybody is woken.
DAILY_FRESHNESS: Final = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(hours=30), fail_window=timedelta(hours=36)
)
