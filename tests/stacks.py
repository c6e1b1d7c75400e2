"""The real platform over a home: webserver, daemon, code server and runs, as `cdp dev` starts them.

Here: its start, what it says of itself, its processes and its end. Not here: what tests do to it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.homes import BIN, IN_BACKGROUND, Home

START_SECONDS = 240
STOP_SECONDS = 60


def wait_until(done: Callable[[], object], *, seconds: float, what: str) -> float:
    """Ask twice a second until the answer is truthy; return how many seconds that took."""
    started = time.monotonic()
    while not done():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"{what}: not within {seconds:.0f} seconds")
        time.sleep(0.5)
    return time.monotonic() - started


@dataclass(frozen=True)
class Stack:
    """A running platform: its home and the address of its UI."""

    home: Home
    url: str
    process: subprocess.Popen[bytes]

    def ask(self, query: str) -> dict[str, Any]:
        """The answer of the UI's own GraphQL endpoint."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["data"]

    def runs(self, *, since: Collection[str] = ()) -> dict[str, str]:
        """Status by run id, the latest run first, without those that there were before."""
        return {run["runId"]: run["status"] for run in self._runs("status", since)}

    def selections(self, *, since: Collection[str] = ()) -> dict[str, list[str]]:
        """By run id, without those that there were before: assets that were chosen one by one."""
        return {
            run["runId"]: ["/".join(key["path"]) for key in run["assetSelection"] or ()]
            for run in self._runs("assetSelection {path}", since)
        }

    def _runs(self, what: str, since: Collection[str]) -> list[dict[str, Any]]:
        asked = f"{{runsOrError(limit: 20) {{... on Runs {{results {{runId {what}}}}}}}}}"
        runs = self.ask(asked)["runsOrError"]["results"]
        return [run for run in runs if run["runId"] not in since]

    def materialized_by(self, *asset: str) -> str:
        """The latest run that materialized an asset."""
        answer = self.ask(
            f"{{assetOrError(assetKey: {{path: {json.dumps(asset)}}})"
            " {... on Asset {assetMaterializations(limit: 1) {runId}}}}"
        )
        return answer["assetOrError"]["assetMaterializations"][0]["runId"]

    def sensors(self) -> dict[str, dict[str, Any]]:
        """By name: each sensor's code location and its latest ticks."""
        answer = self.ask(
            "{repositoriesOrError {... on RepositoryConnection {nodes {location {name} "
            "sensors {name sensorState {ticks(limit: 3) {timestamp endTimestamp}}}}}}}"
        )
        return {
            sensor["name"]: {
                "location": node["location"]["name"],
                "ticks": sensor["sensorState"]["ticks"],
            }
            for node in answer["repositoriesOrError"]["nodes"]
            for sensor in node["sensors"]
        }

    def last_tick(self, sensor: str) -> float:
        """When the latest tick of a sensor began, of those that have ended; 0.0 before that."""
        ticks = self.sensors().get(sensor, {"ticks": []})["ticks"]
        return max((tick["timestamp"] for tick in ticks if tick["endTimestamp"]), default=0.0)

    def members(self, *words: str) -> list[psutil.Process]:
        """Its processes, orphans included, whose command line has all these words."""
        return [one for one in _session(self.process.pid) if _is_called(one, words)]

    def kill(self) -> None:
        """End every process at once, as a power cut does."""
        for one in _session(self.process.pid):
            _signal(one, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(home: Home, *arguments: str) -> Iterator[Stack]:
    """`cdp dev` in a home until the block ends, and then no process of it."""
    log = home.path / "dev.log"
    is_restart = log.exists()
    with _started(home, log, "dev", *arguments) as stack:
        wait_until(
            lambda: _is_up(stack, log, is_restart), seconds=START_SECONDS, what="`cdp dev` is up"
        )
        yield stack


@contextmanager
def looking(home: Home) -> Iterator[Stack]:
    """`cdp look` at a home until the block ends, and then no process of it."""
    log = home.path.with_suffix(".look.log")
    with _started(home, log, "look") as stack:
        wait_until(lambda: _answers(stack, log), seconds=START_SECONDS, what="`cdp look` is up")
        yield stack


@contextmanager
def _started(home: Home, log: Path, *arguments: str) -> Iterator[Stack]:
    port = _free_port()
    command = [*IN_BACKGROUND, str(BIN / "cdp"), *arguments, "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=home.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Stack(home, f"http://127.0.0.1:{port}", process)
    finally:
        _end(process)


def _answers(stack: Stack, log: Path) -> bool:
    assert stack.process.poll() is None, log.read_text()
    try:
        return bool(stack.ask("{version}"))
    except OSError:
        return False


def _is_up(stack: Stack, log: Path, is_restart: bool) -> bool:
    assert stack.process.poll() is None, log.read_text()
    try:
        if is_restart:
            # Dagster shows the ticks of a sensor's first code server alone.
            return "landing_web" in stack.sensors() and bool(stack.members("dagster._daemon"))
        # The daemon is up as well once a sensor has ticked.
        return stack.last_tick("landing_web") > 0
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    members = _session(process.pid)
    for one in members:
        _signal(one, signal.SIGTERM)
    psutil.wait_procs(members, timeout=STOP_SECONDS)
    alive = _session(process.pid)
    for one in alive:
        _signal(one, signal.SIGKILL)
    process.wait()
    assert alive == []


def _session(leader: int) -> list[psutil.Process]:
    """Living processes of a session: children inherit it, also those whose parent has died."""
    return [one for one in psutil.process_iter() if _session_of(one) == leader]


def _session_of(process: psutil.Process) -> int | None:
    try:
        is_dead = process.status() == psutil.STATUS_ZOMBIE
        return None if is_dead else os.getsid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None


def _is_called(process: psutil.Process, words: tuple[str, ...]) -> bool:
    try:
        return set(words) <= set(" ".join(process.cmdline()).replace("/", " ").split())
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
