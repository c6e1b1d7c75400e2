"""What is told of a run when it ends: a message when it failed, numbers either way.

Here: the two sensors, and pure functions from Dagster's events to message and measures. No value of
a record is told: an error only by its class. Not here: where messages and numbers go
(`resources/notifier`, `resources/metrics`).

Dagster hands a sensor few runs per tick and goes on where it stopped, so many failures at once are
told late, not lost. A message that cannot be sent is an error of the tick, and is not sent again.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import dagster as dg

from cdp_assets.checks.conservation import CHECK_NAME
from cdp_assets.jobs import customer_360_job, refresh_profiles_job
from cdp_assets.naming import CLEANSED, PROFILE, asset_key
from cdp_assets.resources.metrics import Measure, Metrics
from cdp_assets.resources.notifier import Notifier

_INTERVAL_SECONDS: Final = 30
# A message that lists hundreds of steps is read by nobody.
_SHOWN: Final = 20
_EVENTS: Final = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
_PUBLISHED: Final = asset_key(PROFILE, "published_profiles")
_GATE: Final = "identity_change_gate"
# Metadata of the conservation check -> measure. They count everything loaded so far.
_RECORDS: Final = {
    "in": "RecordsIn",
    "loaded": "RecordsLoaded",
    "duplicate": "RecordsDuplicate",
    "quarantined": "RecordsQuarantined",
}
# Metadata of the change gate -> measure. They count what this run changes.
_IDS: Final = {
    "merged": "CustomersMerged",
    "split": "CustomersSplit",
    "reidentified": "CustomersReidentified",
}


def build_run_sensors(*, unattended: bool) -> list[dg.SensorDefinition]:
    """Both sensors; they start switched on only where work may run unattended."""
    status = dg.DefaultSensorStatus.RUNNING if unattended else dg.DefaultSensorStatus.STOPPED

    @dg.run_failure_sensor(
        name="run_failures",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=status,
        description="A run that failed is told to people: which step, and the kind of error.",
    )
    def run_failures(
        context: dg.RunFailureSensorContext,
        notifier: dg.ResourceParam[Notifier],
        metrics: dg.ResourceParam[Metrics],
    ) -> None:
        run = context.dagster_run
        steps = [
            (event.step_key or "", event.step_failure_data.error)
            for event in context.get_step_failure_events()
        ]
        notifier.notify(f"Run of {run.job_name} failed", failure_text(run, steps))
        metrics.put([Measure("RunsFailed", 1)])

    @dg.run_status_sensor(
        name="run_metrics",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[customer_360_job, refresh_profiles_job],
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=status,
        description="The numbers of a run that went well: records per source, ids, profiles, time.",
    )
    def run_metrics(context: dg.RunStatusSensorContext, metrics: dg.ResourceParam[Metrics]) -> None:
        metrics.put(run_measures(context.instance, context.dagster_run.run_id))

    return [run_failures, run_metrics]


def failure_text(run: dg.DagsterRun, steps: Sequence[tuple[str, Any]]) -> str:
    """What people are told of a failed run: ids, names and kinds of errors, and no message."""
    lines = [f"  {step}: {error_class(error)}" for step, error in steps[:_SHOWN]]
    if len(steps) > _SHOWN:
        lines.append(f"  and {len(steps) - _SHOWN} more steps")
    return "\n".join(
        [f"Run {run.run_id} of job {run.job_name} failed.", *(lines or ["  no step began"])]
    )


def error_class(error: Any) -> str:
    """The kind of error that a failure began with.

    Args:
        error: of a step failure, as Dagster keeps it, or None.
    """
    kind = "interrupted"
    while error is not None:
        kind, error = error.cls_name or kind, error.cause
    return kind


def run_measures(instance: dg.DagsterInstance, run_id: str) -> list[Measure]:
    """The numbers of one finished run, from what it told Dagster."""
    measures: list[Measure] = []
    records: dict[tuple[str, str], int] = {}
    for entry in instance.all_logs(run_id, of_type=_EVENTS):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if check.check_name == CHECK_NAME and check.asset_key.path[0] == CLEANSED:
                source = check.asset_key.path[1].removeprefix("clean_").partition("__")[0]
                for name, measure in _RECORDS.items():
                    so_far = records.get((source, measure), 0)
                    records[source, measure] = so_far + _number(check.metadata, name)
            elif check.check_name == _GATE:
                measures += _measures(check.metadata, _IDS)
        elif event.asset_key == _PUBLISHED:
            metadata = event.step_materialization_data.materialization.metadata
            measures += _measures(metadata, {"dagster/row_count": "PublishedProfiles"})
    measures += [Measure(name, n, source=source) for (source, name), n in records.items()]
    run = instance.get_run_record_by_id(run_id)
    if run and run.start_time and run.end_time:
        measures.append(Measure("RunSeconds", run.end_time - run.start_time, "Seconds"))
    return measures


def _measures(metadata: Any, names: dict[str, str]) -> Iterable[Measure]:
    return [Measure(measure, _number(metadata, name)) for name, measure in names.items()]


def _number(metadata: Any, name: str) -> int:
    return int(metadata[name].value)
