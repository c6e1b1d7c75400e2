"""Who notices that nobody works on a run any more, while the platform runs."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from cdp_assets.sensors.dead_runs import build_dead_run_sensors, mark_dead_runs
from cdp_assets.settings import load_settings

pytestmark = pytest.mark.fault("F02", "F03")

_RUN = """
import sys, time
import dagster as dg

@dg.op
def work():
    print("at work", flush=True)
    time.sleep(60)

@dg.job
def long():
    work()

with dg.DagsterInstance.local_temp(sys.argv[1]) as instance:
    long.execute_in_process(instance=instance)
"""


@dg.job
def nothing():
    pass


def test_a_run_is_marked_failed_when_its_process_was_killed_and_not_before(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        command = [sys.executable, "-c", _RUN, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"at work\n"
            [run] = instance.get_runs()
            assert mark_dead_runs(instance) == []
            process.kill()
        assert mark_dead_runs(instance) == [run.run_id]
        [run] = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert mark_dead_runs(instance) == []


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING])
def test_a_run_that_has_no_process_yet_is_left_alone(status):
    with dg.DagsterInstance.ephemeral() as instance:
        instance.create_run_for_job(nothing, status=status)
        assert mark_dead_runs(instance) == []


def test_the_sensor_is_on_where_work_is_attended_and_absent_on_aws(tmp_path):
    local = load_settings({"CDP_HOME": str(tmp_path)})
    [sensor] = build_dead_run_sensors(local)
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    aws = {"CDP_PROFILE": "aws", "CDP_LAKE_URL": "s3://lake", "AWS_REGION": "eu-west-1"}
    assert build_dead_run_sensors(load_settings({**aws, "CDP_HOME": str(tmp_path)})) == []
