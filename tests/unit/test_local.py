from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from cdp_assets.local import HomeInUseError, claim_home, reconcile_orphans
from cdp_assets.settings import Settings, load_settings

CLAIM_AND_WAIT = """
import sys
from cdp_assets.local import claim_home
from cdp_assets.settings import load_settings
lock = claim_home(load_settings({"CDP_HOME": sys.argv[1]}), "cdp dev")
print("claimed", flush=True)
sys.stdin.read()
"""


# As in `cdp dev`: the claim is the standard input of a server, whose run starts a helper.
SERVE_AND_RUN = """
import multiprocessing, os, subprocess, sys, time
from cdp_assets.local import claim_home, keep_claim_from_children
from cdp_assets.settings import load_settings

def run():
    keep_claim_from_children()
    keep_claim_from_children()
    print(os.getpid(), subprocess.Popen(["sleep", "60"]).pid, flush=True)
    time.sleep(60)

if __name__ == "__main__":
    lock = claim_home(load_settings({"CDP_HOME": sys.argv[1]}), "cdp dev")
    os.dup2(lock.fileno(), 0)
    lock.close()
    keep_claim_from_children()
    multiprocessing.get_context("spawn").Process(target=run).start()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    time.sleep(60)
"""


@dg.job
def nothing():
    pass


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"CDP_HOME": str(tmp_path / "home")})


def _status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.fault("F02")
@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_a_run_that_nobody_works_on_any_more_is_marked_failed(instance, status):
    orphan = instance.create_run_for_job(nothing, status=status).run_id
    assert reconcile_orphans(instance) == [orphan]
    assert _status(instance, orphan) == dg.DagsterRunStatus.FAILURE


@pytest.mark.fault("F02")
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED])
def test_runs_that_have_ended_are_left_alone(instance, status):
    run_id = instance.create_run_for_job(nothing, status=status).run_id
    assert reconcile_orphans(instance) == []
    assert _status(instance, run_id) == status


@pytest.mark.fault("F30")
def test_a_second_process_is_told_who_works_in_the_home(settings):
    command = [sys.executable, "-c", CLAIM_AND_WAIT, str(settings.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"claimed\n"
        with pytest.raises(HomeInUseError, match=rf"`cdp dev` \(process {first.pid} "):
            claim_home(settings, "cdp run")
        first.kill()
    with claim_home(settings, "cdp run"):
        pass


@pytest.mark.fault("F30")
def test_a_home_that_was_given_back_can_be_claimed_again(settings):
    with claim_home(settings, "cdp run"):
        pass
    with claim_home(settings, "cdp dev"):
        pass


@pytest.mark.fault("F02")
def test_a_claim_lasts_as_long_as_the_process_of_a_run_and_no_longer(settings, tmp_path):
    script = tmp_path / "serve.py"
    script.write_text(SERVE_AND_RUN)
    command = [sys.executable, str(script), str(settings.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        run, helper = map(int, server.stdout.readline().split())
        server.kill()
        with pytest.raises(HomeInUseError):
            claim_home(settings, "cdp run")
        os.kill(run, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while _is_claimed(settings) and time.monotonic() < deadline:
            time.sleep(0.1)
        try:
            assert not _is_claimed(settings)
        finally:
            os.kill(helper, signal.SIGKILL)


def _is_claimed(settings: Settings) -> bool:
    try:
        claim_home(settings, "a test").close()
    except HomeInUseError:
        return True
    return False
