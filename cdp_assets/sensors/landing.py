"""One sensor per source: new landing objects become one run through to the profiles.

A tick lists a stretch of the source's folder and the next tick goes on behind it, round and round,
so what one round misses the next one finds. The cursor holds a key and a time, and may be thrown
away at any moment.

Here: what a tick asks for. Not here: which objects are new (`sources/planner.py`, a pure
function); the truth of what was loaded is the object ledger, never a cursor or a run key.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from cdp_assets.jobs import customer_360_job
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.settings import Limits, Settings
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.planner import Landing, LandingPlan
from cdp_assets.sources.tables import landing_prefix

# After this many failed runs for the same objects the sensor stops asking and says so.
MAX_FAILURES = 3

# An object waits half of it on average; a tick lists a bounded number of objects.
INTERVAL_SECONDS = 10

_RANGE_START_TAG = "dagster/asset_partition_range_start"
_RANGE_END_TAG = "dagster/asset_partition_range_end"
_PLAN_TAG = "cdp/plan"
_SOURCE_TAG = "cdp/source"
# Runs that may still do what a sensor would ask for, and those that did not do it.
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_IN_VAIN = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def build_landing_sensors(
    contracts: Sequence[Contract], settings: Settings
) -> list[dg.SensorDefinition]:
    """A sensor for each source; they start switched on only where work may run unattended."""
    sources = sorted({contract.source for contract in contracts})
    return [
        _landing_sensor(source, [c for c in contracts if c.source == source], settings)
        for source in sources
    ]


def partition_range_tags(days: Iterable[str]) -> dict[str, str]:
    """The run tags that make one run cover all landing days from the first to the last."""
    ordered = sorted(days)
    return {_RANGE_START_TAG: ordered[0], _RANGE_END_TAG: ordered[-1]}


def starts_as(settings: Settings) -> dg.DefaultSensorStatus:
    """Switched on only where work may run unattended."""
    running, stopped = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED
    return running if settings.unattended else stopped


@dataclass(frozen=True)
class Round:
    """How far a sensor is in listing its folder.

    Attributes:
        after: everything up to this key was listed; empty between two rounds.
        began: when the round began, in seconds since 1970.
    """

    after: str = ""
    began: float = 0.0

    @property
    def token(self) -> str:
        """As the cursor holds it."""
        return json.dumps([self.after, self.began])

    @staticmethod
    def of(cursor: str | None) -> "Round":
        """The round of a cursor; of one that cannot be read a new one: that misses nothing."""
        try:
            after, began = json.loads(cursor or "")
            return Round(str(after), float(began))
        except (ValueError, TypeError):
            return Round()

    def begun(self, now: float, pause: int) -> "Round | None":
        """The same round where it goes on, a new one after the pause, or None: too early."""
        if self.after:
            return self
        # A clock that was set back must not stop the listing.
        return None if self.began <= now < self.began + pause else Round("", now)


def list_next(
    source: str, at: Round, landing: Landing, ledger: ObjectLedger, limits: Limits
) -> tuple[LandingPlan, Round]:
    """Plan the next stretch of a source's folder, and note its unknown objects in the ledger."""
    prefix = landing_prefix(source)
    found = landing.stretch(
        prefix, at.after, listed=limits.listed_per_tick, objects=limits.objects_per_tick
    )
    elsewhere = [
        one
        for one in ledger.unknown()
        if one.object_key.startswith(f"{prefix}/")
        and (one.object_key <= at.after or "" < found.after < one.object_key)
    ]
    ledger.replace_unknown(source, [*elsewhere, *found.plan.unknown])
    return found.plan, Round(found.after, at.began)


def _landing_sensor(
    source: str, contracts: Sequence[Contract], settings: Settings
) -> dg.SensorDefinition:
    # Where a queue tells of new objects, listing is there for what the queue has lost.
    pause = settings.listing_seconds if settings.landing_queue_url else 0

    @dg.sensor(
        name=f"landing_{source}",
        job=customer_360_job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=starts_as(settings),
        description=f"New objects under landing/{source}/ are loaded and reach the profiles.",
    )
    def landing(
        context: dg.SensorEvaluationContext,
        store: dg.ResourceParam[ObjectStore],
        ledger: dg.ResourceParam[ObjectLedger],
    ) -> dg.RunRequest | dg.SkipReason:
        at = Round.of(context.cursor).begun(time.time(), pause)
        if at is None:
            return dg.SkipReason("The queue tells of new objects; the next listing is not due.")
        landing = Landing(contracts, store, ledger)
        plan, at = list_next(source, at, landing, ledger, settings.limits)
        for problem in plan.problems:
            context.log.warning(problem)
        context.update_cursor(at.token)
        if not plan.objects:
            return dg.SkipReason(f"Nothing new under landing/{source}/.")
        return request(context.instance, source, plan)

    return landing


def request(
    instance: dg.DagsterInstance, source: str, plan: LandingPlan
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run over the plan's days, unless one is on its way or it keeps failing.

    A run loads its days from every source, so six sources that land together cost one run. What
    arrives too late for a run that has started waits for the tick after its end.

    A run key alone would block for ever after a failure, so it carries the number of failures;
    a loop breaker ends the retries. A run that was told to stop counts as one: its objects are
    still to be loaded, and whoever wants them to wait switches the sensor off.
    """
    active = dg.RunsFilter(job_name=customer_360_job.name, statuses=ACTIVE)
    if any(_covers(run, plan.days) for run in instance.get_runs(active)):
        return dg.SkipReason("A run over these days is on its way.")
    return ask_unless_in_vain(
        instance,
        f"{source}-{plan.digest}",
        {_SOURCE_TAG: source, _PLAN_TAG: plan.digest},
        purpose=f"for the same {len(plan.objects)} objects of {source}",
        launch="customer_360 for those days",
        more_tags=partition_range_tags(plan.days),
    )


def ask_unless_in_vain(
    instance: dg.DagsterInstance,
    key: str,
    tags: Mapping[str, str],
    *,
    purpose: str,
    launch: str,
    more_tags: Mapping[str, str] | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run, unless MAX_FAILURES runs of the same work did not do it.

    Args:
        instance: that knows the runs.
        key: of the work; the run's key is this and the number of runs in vain.
        tags: of the run, which name the work.
        purpose: of the run, for people.
        launch: what they launch by hand once the cause is mended.
        more_tags: of the run, which do not.
    """
    failed = dg.RunsFilter(tags=dict(tags), statuses=_IN_VAIN)
    failures = len(instance.get_runs(failed, limit=MAX_FAILURES))
    if failures >= MAX_FAILURES:
        return dg.SkipReason(
            f"{failures} runs {purpose} failed: look at the last one, mend the cause and launch"
            f" {launch} by hand."
        )
    return dg.RunRequest(run_key=f"{key}-{failures}", tags={**tags, **(more_tags or {})})


def _covers(run: dg.DagsterRun, days: Sequence[str]) -> bool:
    first, last = run.tags.get(_RANGE_START_TAG), run.tags.get(_RANGE_END_TAG)
    return first is not None and last is not None and first <= days[0] and days[-1] <= last
