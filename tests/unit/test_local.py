from __future__ import annotations

import os
import subprocess
import sys

import dagster as dg
import pytest

from cdp_assets.local import PID_TAG, reconcile_orphans


@dg.job
def nothing():
    pass


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def _run(instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)
    return run.run_id


def _pid_of_a_dead_process() -> str:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return str(child.pid)


def test_a_run_whose_process_is_gone_is_marked_failed(instance):
    orphan = _run(instance, {PID_TAG: _pid_of_a_dead_process()})
    assert reconcile_orphans(instance) == [orphan]
    run = instance.get_run_by_id(orphan)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE


def test_a_run_of_a_process_that_lives_is_left_alone(instance):
    alive = _run(instance, {PID_TAG: str(os.getpid())})
    assert reconcile_orphans(instance) == []
    run = instance.get_run_by_id(alive)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.STARTED


def test_a_run_that_a_stopped_daemon_launched_is_marked_failed(instance):
    orphan = _run(instance, {})
    assert reconcile_orphans(instance) == [orphan]
