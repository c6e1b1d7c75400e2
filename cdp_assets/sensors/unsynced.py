"""One sensor over the profile store: what is published and not in the store is brought there.

`follow_upstream` acts on what Dagster was told of a publish. A run that is killed between the swap
and the telling leaves a store that finds yesterday's profiles, and a second kill would, too.

Here: when to ask, from what is rather than from what happened. Not here: what a sync does
(`activation.sync`).
"""

import time
from typing import Final

import dagster as dg

from cdp_assets.activation.sync import unsynced_version
from cdp_assets.jobs import sync_profiles_job
from cdp_assets.resources.profile_store import ProfileStore
from cdp_assets.resources.warehouse import Warehouse
from cdp_assets.sensors.landing import ask_unless_in_vain, starts_as
from cdp_assets.sensors.patience import wait_for
from cdp_assets.settings import Settings

_INTERVAL_SECONDS: Final = 30
_VERSION_TAG: Final = "cdp/unsynced_version"


def build_unsynced_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor; it starts switched on only where work may run unattended."""

    @dg.sensor(
        name="unsynced",
        job=sync_profiles_job,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=starts_as(settings),
        description="What a run published, and did not get as far as the profile store, is synced.",
    )
    def unsynced(
        context: dg.SensorEvaluationContext,
        warehouse: dg.ResourceParam[Warehouse],
        profiles: dg.ResourceParam[ProfileStore],
    ) -> dg.RunRequest | dg.SkipReason:
        request, cursor = request_sync(
            context.instance, warehouse, profiles, context.cursor, time.time()
        )
        context.update_cursor(cursor)
        return request

    return unsynced


def request_sync(
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    profiles: ProfileStore,
    cursor: str | None,
    now: float,
) -> tuple[dg.RunRequest | dg.SkipReason, str]:
    """Ask for a sync where a version has waited for one, and nobody is at work.

    Args:
        instance: that knows the runs.
        warehouse: whose published version may wait.
        profiles: where it should be.
        cursor: of the tick before.
        now: in seconds since 1970.

    Returns:
        What to answer, and the cursor for the next tick.
    """
    version = unsynced_version(warehouse, profiles)
    if version is None:
        return dg.SkipReason("The profile store has everything that is published."), ""
    wait = wait_for(instance, version, cursor, now)
    if wait.reason:
        return dg.SkipReason(wait.reason), wait.cursor
    asked = ask_unless_in_vain(
        instance,
        f"unsynced-{version}",
        {_VERSION_TAG: version},
        purpose="to sync what is published",
        launch=sync_profiles_job.name,
    )
    return asked, wait.cursor
