"""Running the platform on one machine: its folders, its Dagster instance, its processes.

Here: what `cdp demo` and `cdp dev` share. Not here: what they print (`demo.py`, `cli.py`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from cdp_assets.settings import PROJECT_ROOT, Settings, export_serving, export_settings

# The run's process id; `reconcile_orphans` tells by it whether anybody still works on the run.
PID_TAG = "cdp/pid"

_UNFINISHED = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def prepare_home(settings: Settings) -> None:
    """Make the folders and Dagster's configuration of this machine. Safe to repeat."""
    export_settings(settings)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(
        PROJECT_ROOT / "deploy" / "local" / "dagster.yaml", settings.dagster_home / "dagster.yaml"
    )


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage of this machine, so that the UI shows what the command line ran."""
    prepare_home(settings)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        yield instance


def reconcile_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs whose process is gone as failed, and free their pool slots.

    After a power cut runs stay "started" for ever: nothing else tells Dagster that they died.
    Call it before a daemon or a run starts; runs of a live process (`cdp/pid`) are left alone.

    Returns:
        The ids of the runs that were marked.
    """
    orphans = [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
        if not _is_alive(run.tags.get(PID_TAG))
    ]
    for run in orphans:
        instance.report_run_failed(
            run, "Its process is gone; marked failed when the platform started."
        )
    return [run.run_id for run in orphans]


def serve(settings: Settings, *, port: int, unattended: bool) -> None:
    """Run Dagster's webserver and daemon on the loopback address until interrupted.

    The OSS UI has no login, so it is never bound to another address from here.
    """
    prepare_home(settings)
    with dagster_instance(settings) as instance:
        reconcile_orphans(instance)
    export_serving(settings, unattended=unattended)
    executable = str(Path(sys.executable).parent / "dagster")
    workspace = str(PROJECT_ROOT / "workspace.yaml")
    command = [executable, "dev", "-w", workspace, "-h", "127.0.0.1", "-p", str(port)]
    os.execv(executable, command)


def _is_alive(pid: str | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
