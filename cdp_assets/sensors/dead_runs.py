"""One sensor on this machine: runs whose process has died are marked as failed.

The code server that launched a run sees its process end, and says so within a second. If it was
killed as well, nobody does: the run would stay "started", hold the one place where runs go, and
keep the landing sensors from asking for another. What a run left undone is asked for anew by the
landing sensors and `follow_upstream`, as after any failure.

Not here: runs found when the platform starts (`local.reconcile_orphans`); on AWS the launcher
looks after its tasks.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Final

import dagster as dg

from cdp_assets.settings import Settings

_INTERVAL_SECONDS: Final = 15
# A run without a process yet is Dagster's own to watch: run_monitoring in dagster.yaml.
_AT_WORK: Final = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_dead_run_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensor, also where work is attended: it starts nothing."""
    if settings.profile != "local":
        return []

    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A run whose process was killed is marked as failed, which lets others go on.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        found = mark_dead_runs(context.instance)
        for run_id in found:
            context.log.warning(f"The process of run {run_id} is gone.")
        return dg.SkipReason(f"{len(found)} runs were marked as failed.")

    return [dead_runs]


def mark_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark unfinished runs whose processes have all ended as failed; return their ids."""
    dead = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_AT_WORK)):
        pids = set(_pids(instance, run.run_id))
        # Read again: it may have ended well since.
        if not pids or any(map(_is_alive, pids)) or _has_ended(instance, run.run_id):
            continue
        instance.report_run_failed(run, "Its process is gone; marked failed by the daemon.")
        dead.append(run.run_id)
    return dead


def _pids(instance: dg.DagsterInstance, run_id: str) -> Iterator[int]:
    """The processes that said that they work on a run."""
    events: Iterable[dg.EventLogEntry] = instance.all_logs(
        run_id, of_type=dg.DagsterEventType.ENGINE_EVENT
    )
    for entry in events:
        event = entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event else None
        if pid is not None:
            yield int(str(pid.value))


def _has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
