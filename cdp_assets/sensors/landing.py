"""One sensor per source: new landing objects become one run through to the profiles.

Here: what a tick asks for. Not here: which objects are new (`sources/planner.py`, a pure
function); the truth of what was loaded is the object ledger, never a cursor or a run key.
"""

from collections.abc import Iterable, Sequence

import dagster as dg

from cdp_assets.jobs import customer_360_job
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.settings import Settings
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.planner import LandingPlan, plan_source

# After this many failed runs for the same objects the sensor stops asking and says so.
MAX_FAILURES = 3

# An object waits half of it on average; a tick lists one source's folder, well under a second.
_INTERVAL_SECONDS = 10

_RANGE_START_TAG = "dagster/asset_partition_range_start"
_RANGE_END_TAG = "dagster/asset_partition_range_end"
_PLAN_TAG = "cdp/plan"
_SOURCE_TAG = "cdp/source"
_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


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


def _landing_sensor(
    source: str, contracts: Sequence[Contract], settings: Settings
) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"landing_{source}",
        job=customer_360_job,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=(
            dg.DefaultSensorStatus.RUNNING
            if settings.unattended
            else dg.DefaultSensorStatus.STOPPED
        ),
        description=f"New objects under landing/{source}/ are loaded and reach the profiles.",
    )
    def landing(
        context: dg.SensorEvaluationContext,
        store: dg.ResourceParam[ObjectStore],
        ledger: dg.ResourceParam[ObjectLedger],
    ) -> dg.RunRequest | dg.SkipReason:
        plan = plan_source(source, contracts, store, ledger, settings)
        for problem in plan.problems:
            context.log.warning(problem)
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
    a loop breaker ends the retries.
    """
    tags = {_SOURCE_TAG: source, _PLAN_TAG: plan.digest}
    active = dg.RunsFilter(job_name=customer_360_job.name, statuses=_ACTIVE)
    if any(_covers(run, plan.days) for run in instance.get_runs(active)):
        return dg.SkipReason("A run over these days is on its way.")
    failed = dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.FAILURE])
    failures = len(instance.get_runs(failed, limit=MAX_FAILURES))
    if failures >= MAX_FAILURES:
        return dg.SkipReason(
            f"{failures} runs for the same {len(plan.objects)} objects of {source} failed: look at "
            "the last one, mend the cause and launch customer_360 for those days by hand."
        )
    return dg.RunRequest(
        run_key=f"{source}-{plan.digest}-{failures}",
        tags={**tags, **partition_range_tags(plan.days)},
    )


def _covers(run: dg.DagsterRun, days: Sequence[str]) -> bool:
    first, last = run.tags.get(_RANGE_START_TAG), run.tags.get(_RANGE_END_TAG)
    return first is not None and last is not None and first <= days[0] and days[-1] <= last
