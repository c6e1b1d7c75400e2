"""One home, loaded by `cdp run`, served by `cdp dev`, seen through headless Chromium.

Here: what has to be up before a page can be looked at, and its end. Not here: what pages show.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from cdp_assets.sample.generate import SampleSize, generate
from cdp_assets.settings import PROJECT_ROOT
from tests.pipeline.conftest import BIN, SEED, Home

PICTURES = PROJECT_ROOT / "artifacts" / "browser"
START_SECONDS = 120
STOP_SECONDS = 30
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


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

    def ask(self, query: str) -> dict[str, Any]:
        """The answer of the UI's own GraphQL endpoint."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["data"]

    def runs(self) -> dict[str, str]:
        """Status by run id, the latest run first."""
        answer = self.ask("{runsOrError(limit: 20) {... on Runs {results {runId status}}}}")
        return {run["runId"]: run["status"] for run in answer["runsOrError"]["results"]}

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


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The real webserver and daemon over a tiny company, ended with every process they started."""
    home = Home(tmp_path_factory.mktemp("browser") / "home")
    truth = home.path / "sample" / "truth.parquet"
    truth.parent.mkdir(parents=True)
    generate(home.landing, truth, SampleSize.tiny(), seed=SEED)
    home.cdp("run")

    port = _free_port()
    log = home.path / "dev.log"
    command = ["env", f"CDP_HOME={home.path}", str(BIN / "cdp"), "dev", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        stack = Stack(home, f"http://127.0.0.1:{port}")
        wait_until(
            lambda: _is_up(stack, process, log), seconds=START_SECONDS, what="`cdp dev` is up"
        )
        yield stack
    finally:
        _end_group(process)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium with a profile of its own."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.fail(
            "Chromium is missing: install it as root with `apt-get install chromium`.",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=list(CHROMIUM_ARGUMENTS)
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A visitor's first page; afterwards: nothing was fetched from outside this machine."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(60_000)
    page = context.new_page()
    strangers: list[str] = []
    page.on("request", lambda request: strangers.extend(_foreign(request.url)))
    yield page
    context.close()
    assert strangers == []


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like under artifacts/browser/."""
    page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")


def _foreign(url: str) -> list[str]:
    local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
    return [] if url.startswith(local) else [url]


def _is_up(stack: Stack, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        # The daemon is up as well once a sensor has ticked.
        return stack.last_tick("landing_web") > 0
    except OSError:
        return False


def _end_group(process: subprocess.Popen[bytes]) -> None:
    members = [one for one in psutil.process_iter() if _group(one) == process.pid]
    os.killpg(process.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(members, timeout=STOP_SECONDS)
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(alive, timeout=STOP_SECONDS)
    process.wait()
    assert alive == []


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
