"""Running the platform on one machine: its folders, its Dagster instance, its processes.

Here: what `cdp demo`, `cdp run` and `cdp dev` share. Not here: what they print (`demo.py`).
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from string import Template
from typing import TextIO

import dagster as dg
from sqlalchemy.exc import OperationalError

from cdp_assets.errors import PlatformError, disk_fault
from cdp_assets.resources.sqlite import file_fault
from cdp_assets.settings import PROJECT_ROOT, Settings, export_serving, export_settings
from cdp_assets.sqlite_files import spare_disk_syncs

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")

_claim_of_run: int | None = None


class HomeInUseError(PlatformError):
    """Another process works in this home; the message names it."""


class StorageError(PlatformError):
    """Dagster cannot keep what happens; the message says what to do."""


def prepare_home(settings: Settings) -> None:
    """Make the folders and Dagster's configuration of this machine. Safe to repeat.

    Raises:
        StorageError: its disk is full, or fails.
    """
    export_settings(settings)
    home = settings.dagster_home
    template = Template((PROJECT_ROOT / "deploy" / "local" / "dagster.yaml").read_text())
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text(template.substitute(dagster_home=json.dumps(str(home))))
    except OSError as error:
        raise StorageError(f"{home} cannot be written: {disk_fault(error)}") from error


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage of this machine, so that the UI shows what the command line ran.

    Raises:
        StorageError: its disk is full, or fails.
    """
    prepare_home(settings)
    spare_disk_syncs()
    try:
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            yield instance
    except OperationalError as error:
        # What SQLAlchemy says repeats the statement and its values.
        if not isinstance(error.orig, sqlite3.OperationalError):
            raise
        raise StorageError(
            f"Dagster's storage {settings.dagster_home} cannot be used: {file_fault(error.orig)}"
        ) from error


def claim_home(settings: Settings, command: str) -> TextIO:
    """Make this process the only one that works in this home.

    The warehouse has one writer, and two daemons would launch every run twice. The lock is the
    operating system's: it ends with the process, however that ends. Readers need no claim.

    Args:
        settings: of the tenant.
        command: what to call this process to whoever comes second.

    Returns:
        The open lock file; closing it gives the home back.

    Raises:
        HomeInUseError: another process has claimed it.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    lock = (settings.home / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read()
        lock.close()
        raise HomeInUseError(
            f"{holder} is at work in {settings.home}: new landing objects load while `cdp dev` "
            "runs; otherwise wait for it or stop it."
        ) from error
    lock.truncate(0)
    lock.write(f"`{command}` (process {os.getpid()} or one that it started)")
    lock.flush()
    return lock


def keep_claim_from_children() -> None:
    """Let the claim that the process of a run inherited end with it. Safe to repeat.

    Dagster starts helpers for a run (`tail -F` of its output) that may outlive it, and would keep
    the home claimed for ever. dbt ends with its run by itself.
    """
    global _claim_of_run
    # Of all processes with a claim, those of runs alone are children of multiprocessing.
    if _claim_of_run is None and multiprocessing.parent_process() is not None:
        # Unlike standard input, a duplicate is not inherited.
        _claim_of_run = os.dup(0)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)


def reconcile_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs that nobody works on any more as failed, which frees their pool slots.

    After a power cut runs stay "started" for ever: nothing else tells Dagster that they died.
    Call it right after `claim_home`: then nobody else is at work, and every unfinished run is an
    orphan. Queued runs are not: the next daemon starts them.

    Returns:
        The ids of the runs that were marked.
    """
    orphans = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    for run in orphans:
        instance.report_run_failed(
            run, "Its process is gone; marked failed when the platform started."
        )
    return [run.run_id for run in orphans]


def serve(settings: Settings, *, port: int, unattended: bool) -> None:
    """Run Dagster's webserver and daemon on the loopback address until interrupted.

    The OSS UI has no login, so it is never bound to another address where it can launch a run.

    Raises:
        HomeInUseError: another process works in this home.
        DamagedStateError: its state is damaged.
    """
    # Imported here: the doctor claims homes, too.
    from cdp_assets.doctor import check_state

    lock = claim_home(settings, "cdp dev")
    check_state(settings)
    with dagster_instance(settings) as instance:
        reconcile_orphans(instance)
    export_serving(settings, unattended=unattended)
    executable = str(Path(sys.executable).parent / "dagster")
    workspace = str(PROJECT_ROOT / "workspace.yaml")
    command = [executable, "dev", "-w", workspace, "-h", "127.0.0.1", "-p", str(port)]
    sys.exit(_run_group(command, lock))


def look(settings: Settings, *, host: str, port: int, is_behind_proxy: bool) -> None:
    """Run a webserver that shows everything and changes nothing, beside whoever works in this home.

    Args:
        settings: of the tenant.
        host: the address it is bound to.
        port: on it.
        is_behind_proxy: whether a proxy asks everybody who comes who they are.

    Raises:
        PlatformError: others could come in, and nobody would ask who they are.
    """
    if host not in _LOOPBACK and not is_behind_proxy:
        raise PlatformError(
            f"The UI has no login, and others can reach {host}. Put a proxy that asks who somebody "
            "is in front of it and pass --behind-proxy, or leave --host out."
        )
    prepare_home(settings)
    export_serving(settings, unattended=False)
    executable = str(Path(sys.executable).parent / "dagster-webserver")
    workspace = str(PROJECT_ROOT / "workspace.yaml")
    command = [executable, "--read-only", "-w", workspace, "-h", host, "-p", str(port)]
    sys.exit(_run_group(command))


def _run_group(command: Sequence[str], lock: TextIO | None = None) -> int:
    """Run a command whose processes end together, however one of them or this one is told to.

    Dagster ends its services when it is told to stop or misses one of them, and leaves a run that
    is going on to itself: the home would stay claimed until that run has ended.
    """
    # Where a script starts this in the background, its shell has SIGINT ignored, by which Dagster
    # tells its services to stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # As its standard input, which nothing reads, every process that Dagster starts inherits the
    # claim: it lasts until the last of them has ended, even if the first was killed.
    with subprocess.Popen(command, stdin=lock, process_group=0) as process:

        def stop(*_: object) -> None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        process.wait()
        stop()
    return process.returncode
