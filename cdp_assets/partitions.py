"""The daily partitions of the sources, and the one backfill policy of every asset.

A partition is the landing day (`dt=` in the object key), not the day of the event.
"""

from __future__ import annotations

import warnings
from typing import Final

import dagster as dg

# Beta names of Dagster that we use, all of them, with the reason:
# backfill_policy: `--partition-range` and `dagster job backfill` need one run for a range of days.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*`backfill_policy`.*")

SINGLE_RUN: Final = dg.BackfillPolicy.single_run()

FIRST_LANDING_DAY: Final = "2026-01-01"

# Landing day, UTC. The offset makes today's objects loadable today.
LANDING_DAYS: Final = dg.DailyPartitionsDefinition(
    start_date=FIRST_LANDING_DAY, timezone="UTC", end_offset=1
)


def landing_days(context: dg.AssetExecutionContext) -> list[str]:
    """The landing days of this run, `YYYY-MM-DD`, oldest first."""
    return sorted(context.partition_keys)
