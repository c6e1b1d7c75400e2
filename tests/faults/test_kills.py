"""A run that is killed and run again ends as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date
from importlib.metadata import version

import pytest

from cdp_assets import failpoints
from cdp_assets.sample.generate import SampleSize, generate
from cdp_assets.settings import PROJECT_ROOT
from tests.faults.kills import run_kills

_REACH_THRICE = """
import sys
from cdp_assets import failpoints
failpoints.arm(sys.argv[1])
for point in ("a", "b", "a", "a"):
    failpoints.reach(point)
    print(point, flush=True)
"""


_CALL_WARM_DBT = """
import subprocess, sys
from pathlib import Path
from cdp_assets.dbt.project import prepared_project
from cdp_assets.graph import build_defs
from cdp_assets.settings import load_settings
from tests.faults import warm_dbt
settings = load_settings()
build_defs(settings)
project = prepared_project(settings)
command = warm_dbt.start(Path(sys.argv[1]), project, settings.dbt_target)
print(subprocess.run([command, "--version"], capture_output=True, text=True).stdout.strip())
print(subprocess.run([command, "no-such-command"], capture_output=True).returncode)
"""


def _reached(failpoint: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _REACH_THRICE, failpoint],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.split()


def test_a_fail_point_kills_as_it_is_reached_so_often():
    assert _reached("a#2") == (-signal.SIGKILL, ["a", "b"])


def test_without_a_fail_point_nothing_happens():
    assert _reached("") == (0, ["a", "b", "a", "a"])
    assert _reached("a#4") == (0, ["a", "b", "a", "a"])


def test_the_points_that_are_reached_can_be_written_down(tmp_path):
    assert _reached(f">{tmp_path / 'notes'}")[0] == 0
    assert (tmp_path / "notes").read_text().split() == ["a", "b", "a", "a"]


@pytest.mark.parametrize("text", ["a", "a#", "a#x", "#1"])
def test_what_is_no_fail_point_is_refused(text):
    with pytest.raises(failpoints.FailpointError, match="CDP_FAILPOINT"):
        failpoints.arm(text)


def test_no_fail_point_is_armed_in_the_tests():
    assert not failpoints.is_armed()
    assert "CDP_FAILPOINT" not in os.environ


@pytest.mark.faults
@pytest.mark.slow
def test_dbt_that_is_loaded_once_answers_each_call(loaded, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _CALL_WARM_DBT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT_ROOT,
        env=loaded.environment,
    )
    assert done.stdout.split("\n")[:2] == [f"dbt-core {version('dbt-core')}", "2"], done.stderr


@pytest.mark.fault("F01", "F31")
def test_an_extract_that_is_killed_and_run_again_ends_as_if_nothing_had_been(loaded, tmp_path):
    """The first step, before which none has to run; the others are killed by `make test-faults`."""
    size = SampleSize(
        people=20, crm_rows=30, events=200, days=1, object_rows=40,
        has_faults=False, last_day=date(2026, 8, 31),
    )  # fmt: skip
    generate(tmp_path / "landing", tmp_path / "truth.parquet", size, seed=5)
    steps = ["extract_crm_contacts"]
    report = run_kills(tmp_path, loaded.path, tmp_path / "landing", steps, quick=True, workers=1)
    assert report.faults == []
    assert len(report.tried) >= 3
