"""One sensor over the ledger: what is loaded and in no published version is published after all.

A run that is killed or told to stop after its extracts leaves objects that the ledger has and no
reader sees. The landing sensors look for objects that are not loaded, and `follow_upstream` acts
once on a change: a second kill, and nobody would come back to it before the next object lands.

Here: when to ask, from what is rather than from what happened. Not here: what publishing covers
(`profile.publish`).
"""

import time
from typing import Final

import dagster as dg

from cdp_assets.jobs import refresh_profiles_job
from cdp_assets.profile.publish import unpublished_load_id
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.sensors.landing import ask_unless_in_vain, starts_as
from cdp_assets.sensors.patience import wait_for
from cdp_assets.settings import Settings

_INTERVAL_SECONDS: Final = 30
_LOAD_TAG: Final = "cdp/unpublished_load"


def build_unpublished_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor; it starts switched on only where work may run unattended."""

    @dg.sensor(
        name="unpublished",
        job=refresh_profiles_job,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=starts_as(settings),
        description="What a run loaded, and did not get as far as publishing, is published.",
    )
    def unpublished(
        context: dg.SensorEvaluationContext, ledger: dg.ResourceParam[ObjectLedger]
    ) -> dg.RunRequest | dg.SkipReason:
        request, cursor = request_refresh(context.instance, ledger, context.cursor, time.time())
        context.update_cursor(cursor)
        return request

    return unpublished


def request_refresh(
    instance: dg.DagsterInstance, ledger: ObjectLedger, cursor: str | None, now: float
) -> tuple[dg.RunRequest | dg.SkipReason, str]:
    """Ask for a refresh where loads have waited for one, and nobody is at work; unless in vain.

    A refresh that went well and left the loads waiting is not asked for again: it would loop.

    Args:
        instance: that knows the runs.
        ledger: whose loads may wait.
        cursor: of the tick before.
        now: in seconds since 1970.

    Returns:
        What to answer, and the cursor for the next tick.
    """
    load_id = unpublished_load_id(ledger)
    if load_id is None:
        return dg.SkipReason("Everything that is loaded is published."), ""
    wait = wait_for(instance, str(load_id), cursor, now)
    if wait.reason:
        return dg.SkipReason(wait.reason), wait.cursor
    asked = ask_unless_in_vain(
        instance,
        f"unpublished-{load_id}",
        {_LOAD_TAG: str(load_id)},
        purpose=f"to publish load {load_id}",
        launch=refresh_profiles_job.name,
    )
    return asked, wait.cursor
