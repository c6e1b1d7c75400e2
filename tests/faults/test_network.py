"""The guard of `test_hostile_run.py` is proven here: what it lets through, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUARD = Path(__file__).parent / "guard"
NOT_THERE = "192.0.2.1"


def guarded(log: Path) -> dict[str, str]:
    """The environment in which every Python process refuses to leave this machine."""
    return {"PYTHONPATH": str(GUARD), "CDP_TEST_NETWORK_LOG": str(log)}


def attempts(log: Path) -> list[str]:
    """What ran into the guard."""
    return [line for line in log.read_text().splitlines() if not line.startswith("#")]


def guards(log: Path) -> int:
    """How many processes were guarded."""
    return len(log.read_text().splitlines()) - len(attempts(log))


def run(code: str, log: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **guarded(log)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.fault("F47")
@pytest.mark.parametrize(
    "attempt",
    [
        f"import socket; socket.create_connection(('{NOT_THERE}', 443), 1)",
        "import urllib.request; urllib.request.urlopen('https://telemetry.example/', timeout=1)",
        f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('{NOT_THERE}', 53))",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c',"
        f" 'import socket; socket.create_connection((\"{NOT_THERE}\", 443), 1)'], check=True)",
    ],
    ids=["connection", "name", "datagram", "child"],
)
def test_an_attempt_to_leave_the_machine_is_refused_and_written_down(
    tmp_path: Path, attempt: str
) -> None:
    done = run(attempt, tmp_path / "log")
    assert done.returncode != 0
    assert "there is no network in this test" in done.stderr
    assert len(attempts(tmp_path / "log")) == 1


@pytest.mark.fault("F47")
def test_dbt_says_its_version_without_asking_for_a_newer_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "cdp-dbt"), "--version"],
        env={**os.environ, **guarded(tmp_path / "log")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"dbt-core 1\.11\.\d+\n", done.stdout)
    assert attempts(tmp_path / "log") == []


@pytest.mark.fault("F47")
def test_processes_of_one_machine_may_talk(tmp_path: Path) -> None:
    done = run(
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname())\n"
        "socket.create_connection(('localhost', server.getsockname()[1]))\n"
        "a, b = socket.socketpair(); a.send(b'x')\n",
        tmp_path / "log",
    )
    assert done.returncode == 0, done.stderr
    assert attempts(tmp_path / "log") == []
    assert guards(tmp_path / "log") == 1
