"""Processes of a real `cdp dev` are killed or told to stop in the middle of a run.

One platform goes through one fault after another; each begins with an object that lands and a run
that dbt works for. Whatever happened, at the end the hash is that of a home that loaded the same
objects undisturbed.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import duckdb
import psutil
import pytest

from cdp_assets.local import HomeInUseError, claim_home
from cdp_assets.sample.generate import SampleSize, generate
from cdp_assets.settings import load_settings
from tests.homes import SEED, Home
from tests.stacks import Stack, running, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

RUN_SECONDS = 600
UNFINISHED = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}
# Two objects of each: in the end their sources ask for a run each.
ENTITIES = ("crm/contacts", "web/events", "pos/receipts")


@dataclass
class Platform:
    """A home under `cdp dev`, which may be started again, and the objects yet to land in it."""

    home: Home
    arrivals: list[tuple[Path, Path]]
    stack: Stack
    _open: ExitStack
    times: dict[str, float] = field(default_factory=dict)

    def land(self) -> str:
        """Land the next object; give its key."""
        source, target = self.arrivals.pop(0)
        _land(source, self.home.landing / target)
        return f"landing/{target}"

    def provoke(self) -> tuple[str, psutil.Process]:
        """Land an object and wait until dbt works for the run that loads it."""
        self.land()
        wait_until(self.builds, seconds=RUN_SECONDS, what="dbt builds")
        [run] = [run for run, status in self.stack.runs().items() if status == "STARTED"]
        return run, self.builds()[0]

    def builds(self) -> list[psutil.Process]:
        return self.stack.members("cdp-dbt", "build")

    def restart(self) -> None:
        """Start `cdp dev` anew, as somebody does who tries until the old one has ended."""
        self._open.close()
        wait_until(lambda: _can_be_claimed(self.home), seconds=60, what="the home is free")
        self.stack = self._open.enter_context(running(self.home))

    def waits(self, what: str, done: Callable[[], object], seconds: float) -> None:
        self.times[what] = wait_until(done, seconds=seconds, what=what)


@pytest.fixture(scope="module")
def arrivals(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """Two objects of each source, of another company: where it is, and where it lands."""
    folder = tmp_path_factory.mktemp("other")
    generate(folder / "landing", folder / "truth.parquet", SampleSize.tiny(), seed=SEED + 1)
    landed = {name: sorted((folder / "landing" / name).glob("dt=*/*")) for name in ENTITIES}
    chosen = [landed[name][place] for place in (-1, -2) for name in ENTITIES]
    places = [path.relative_to(folder / "landing") for path in chosen]
    return [
        (path, place.with_name(f"other-{place.name}"))
        for path, place in zip(chosen, places, strict=True)
    ]


@pytest.fixture(scope="module")
def undisturbed(
    loaded: Home, arrivals: list[tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Future[dict[str, str]]]:
    """The hashes of a home in which nothing happened to the same objects; made meanwhile."""
    home = loaded.copy(tmp_path_factory.mktemp("undisturbed") / "home")
    for source, target in arrivals:
        _land(source, home.landing / target)

    def hashes() -> dict[str, str]:
        home.cdp("run")
        return home.hashes()

    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(hashes)


@pytest.fixture(scope="module")
def platform(
    loaded: Home,
    undisturbed: Future[dict[str, str]],
    arrivals: list[tuple[Path, Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Platform]:
    home = loaded.copy(tmp_path_factory.mktemp("disturbed") / "home")
    with ExitStack() as opened:
        stack = opened.enter_context(running(home))
        found = Platform(home, list(arrivals), stack, opened)
        yield found
    for what, seconds in found.times.items():
        print(f"{seconds:6.1f} s  {what}")


@pytest.fixture(scope="module", autouse=True)
def reader(platform: Platform) -> Iterator[list[str]]:
    """Somebody who reads the published version all the time; what was wrong with what they saw."""
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.wait(0.5):
            wrong.extend(_half_published(platform.home.published))

    thread = threading.Thread(target=read)
    thread.start()
    yield wrong
    stop.set()
    thread.join()


@pytest.mark.fault("F02", "F03")
def test_when_a_run_is_killed_dbt_dies_with_it_and_the_run_is_marked_failed(platform: Platform):
    run, dbt = platform.provoke()
    parent = dbt.parent()
    assert parent is not None
    parent.kill()
    platform.waits("a killed run's dbt is gone", lambda: not _is_alive(dbt), 5)
    platform.waits("a killed run is marked failed", lambda: _has(platform, run, "FAILURE"), 60)


@pytest.mark.fault("F02", "F03")
def test_a_run_killed_with_the_code_server_is_marked_failed_while_the_daemon_lives(
    platform: Platform,
):
    run, dbt = platform.provoke()
    servers = platform.stack.members("code-server") + platform.stack.members("api", "grpc")
    parent = dbt.parent()
    assert parent is not None
    for one in [parent, *servers]:
        one.kill()
    platform.waits("dbt of a run killed with its server is gone", lambda: not _is_alive(dbt), 5)
    platform.waits(
        "a run killed with its server is marked failed", lambda: _has(platform, run, "FAILURE"), 60
    )


@pytest.mark.fault("F04")
def test_a_run_that_is_told_to_stop_in_the_ui_stops_tidily(platform: Platform):
    run, dbt = platform.provoke()
    platform.stack.ask(f'mutation {{terminateRun(runId: "{run}") {{__typename}}}}')
    platform.waits(
        "a run stopped in the UI has ended",
        lambda: _has(platform, run, "CANCELED") and not _is_alive(dbt),
        30,
    )


@pytest.mark.fault("F04")
def test_a_platform_that_gets_sigterm_stops_with_its_run_within_half_a_minute(platform: Platform):
    platform.provoke()
    platform.stack.process.terminate()
    platform.waits("cdp dev has ended after SIGTERM", lambda: not platform.stack.members(), 30)
    platform.restart()


@pytest.mark.fault("F02")
def test_a_platform_whose_daemon_is_killed_ends_and_starts_again(platform: Platform):
    platform.provoke()
    [daemon] = platform.stack.members("dagster._daemon")
    daemon.kill()
    platform.waits("cdp dev has ended after its daemon", lambda: not platform.stack.members(), 60)
    platform.restart()


@pytest.mark.fault("F02", "F03", "F30")
def test_after_a_power_cut_orphans_are_marked_failed_and_all_work_is_done(
    platform: Platform, undisturbed: Future[dict[str, str]], reader: list[str]
):
    run, _ = platform.provoke()
    began = time.monotonic()
    platform.stack.kill()
    platform.restart()
    assert platform.stack.runs()[run] == "FAILURE"
    platform.times["after a power cut the platform is up"] = time.monotonic() - began
    while platform.arrivals:
        platform.land()

    # Somebody else comes in at the same time: another command, and a backfill of a day.
    refused = platform.home.cdp("run", check=False)
    assert refused.returncode == 1
    assert "`cdp dev`" in refused.stderr
    asked = platform.stack.ask(_BACKFILL)["launchPartitionBackfill"]
    assert asked["__typename"] == "LaunchBackfillSuccess", asked

    def is_done() -> bool:
        return _is_published(platform.home) and not UNFINISHED & set(platform.stack.runs().values())

    platform.waits("after a power cut everything is published", is_done, RUN_SECONDS)
    assert _overlapping(platform.home) == []
    assert reader == []
    assert platform.home.hashes() == undisturbed.result()


_BACKFILL = """
mutation {
  launchPartitionBackfill(backfillParams: {
    selector: {
      partitionSetName: "customer_360_partition_set",
      repositorySelector: {
        repositoryName: "__repository__", repositoryLocationName: "cdp_assets.definitions"
      }
    },
    partitionNames: ["2026-08-28"]
  }) { __typename ... on PythonError { message } ... on LaunchBackfillSuccess { backfillId } }
}
"""


def _land(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _has(platform: Platform, run: str, status: str) -> bool:
    return platform.stack.runs().get(run) == status


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _can_be_claimed(home: Home) -> bool:
    try:
        claim_home(load_settings({"CDP_HOME": str(home.path)}), "a test").close()
    except HomeInUseError:
        return False
    return True


def _is_published(home: Home) -> bool:
    with closing(sqlite3.connect(home.path / "ledger.sqlite")) as ledger:
        [(published, newest)] = ledger.execute(
            "select published_load_id, (select max(load_id) from objects) from marks"
        ).fetchall()
        objects = {key for (key,) in ledger.execute("select object_key from objects")}
    landed = {
        f"landing/{path.relative_to(home.landing)}" for path in home.landing.glob("*/*/*/other-*")
    }
    return landed <= objects and published >= newest


def _half_published(path: Path) -> list[str]:
    """What is wrong with the published version, by a query over several of its tables."""
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            [(lonely,)] = connection.execute(
                """
                select count(*) from profile.customer_attributes
                where customer_id not in (select customer_id from profile.customer_profiles)
                """
            ).fetchall()
    except duckdb.Error as error:
        return [str(error)]
    return [f"{lonely} attributes of nobody"] if lonely else []


def _overlapping(home: Home) -> list[tuple[str, str]]:
    """Pairs of runs that were at work at the same time."""
    with closing(sqlite3.connect(home.path / "dagster" / "history" / "runs.db")) as runs:
        spans = runs.execute(
            "select start_time, coalesce(end_time, 1e12), run_id from runs"
            " where start_time is not null order by start_time"
        ).fetchall()
    return [(first[2], second[2]) for first, second in pairwise(spans) if second[0] < first[1]]
