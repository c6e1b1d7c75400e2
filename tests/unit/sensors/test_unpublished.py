"""When what is loaded and not published is asked for again."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from cdp_assets.resources.object_ledger import SQLiteObjectLedger
from cdp_assets.resources.object_store import LocalObjectStore
from cdp_assets.sensors.landing import MAX_FAILURES
from cdp_assets.sensors.patience import PATIENCE_SECONDS
from cdp_assets.sensors.unpublished import request_refresh
from tests.unit.sensors.landed import settle, touch

pytestmark = pytest.mark.fault("F02", "F04")


@dg.job
def refresh_profiles():
    pass


class World:
    """A ledger with two loads, of which nobody has published any, and the ticks of the sensor."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        touch(folder, [f"landing/crm/contacts/dt=2026-08-28/{name}.csv" for name in "ab"])
        settle(folder / "ledger.sqlite", LocalObjectStore(folder).list("landing"))
        self.ledger = SQLiteObjectLedger(folder / "ledger.sqlite")
        self._cursor: str | None = None

    def tick(self, now: float) -> dg.RunRequest | dg.SkipReason:
        answer, self._cursor = request_refresh(self.instance, self.ledger, self._cursor, now)
        return answer

    def ends(self, asked: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
        self.instance.create_run_for_job(refresh_profiles, status=status, tags=dict(asked.tags))


@pytest.fixture
def world(tmp_path: Path, instance: dg.DagsterInstance) -> World:
    return World(tmp_path, instance)


def asked(answer: dg.RunRequest | dg.SkipReason) -> dg.RunRequest:
    assert isinstance(answer, dg.RunRequest)
    return answer


def test_what_no_published_version_has_is_asked_for_and_then_not_again(world: World):
    assert isinstance(world.tick(0), dg.SkipReason)
    first = asked(world.tick(PATIENCE_SECONDS))
    world.ends(first, dg.DagsterRunStatus.SUCCESS)
    # Dagster starts one run per key: one that published nothing is not repeated for ever.
    assert asked(world.tick(PATIENCE_SECONDS + 1)).run_key == first.run_key
    world.ledger.mark_published(world.ledger.max_load_id())
    assert isinstance(world.tick(3 * PATIENCE_SECONDS), dg.SkipReason)


def test_nothing_is_asked_for_while_any_run_may_still_publish_it_nor_right_after(world: World):
    world.tick(0)
    run = world.instance.create_run_for_job(refresh_profiles, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(world.tick(PATIENCE_SECONDS), dg.SkipReason)
    world.instance.report_run_failed(run)
    assert isinstance(world.tick(PATIENCE_SECONDS + 1), dg.SkipReason)
    assert isinstance(world.tick(2 * PATIENCE_SECONDS + 1), dg.RunRequest)


def test_a_load_that_comes_meanwhile_has_a_wait_of_its_own(world: World, tmp_path: Path):
    world.tick(0)
    touch(tmp_path, ["landing/crm/contacts/dt=2026-08-28/c.csv"])
    settle(tmp_path / "ledger.sqlite", LocalObjectStore(tmp_path).list("landing"))
    assert isinstance(world.tick(PATIENCE_SECONDS), dg.SkipReason)
    assert isinstance(world.tick(2 * PATIENCE_SECONDS), dg.RunRequest)


@pytest.mark.fault("F50")
def test_refreshes_in_vain_are_repeated_until_the_loop_breaker_opens(world: World):
    world.tick(0)
    keys = set()
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED) * MAX_FAILURES:
        answer = world.tick(PATIENCE_SECONDS)
        if isinstance(answer, dg.RunRequest):
            keys.add(answer.run_key)
            world.ends(answer, status)
    assert len(keys) == MAX_FAILURES
    skipped = world.tick(PATIENCE_SECONDS)
    assert isinstance(skipped, dg.SkipReason)
    assert "by hand" in str(skipped.skip_message)
