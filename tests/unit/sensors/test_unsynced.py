"""When what is published and not in the profile store is asked for again."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from cdp_assets.resources.profile_store import Origin, SQLiteProfileStore
from cdp_assets.resources.warehouse import DuckDBWarehouse
from cdp_assets.sensors.landing import MAX_FAILURES
from cdp_assets.sensors.patience import PATIENCE_SECONDS
from cdp_assets.sensors.unsynced import request_sync

pytestmark = pytest.mark.fault("F02", "F04")

LATER = float(PATIENCE_SECONDS)


@dg.job
def sync_profiles():
    pass


class World:
    """A warehouse, a store, and the ticks of the sensor."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.warehouse = DuckDBWarehouse(folder / "w.duckdb", folder / "p.duckdb", "1GB")
        self.store = SQLiteProfileStore(folder / "profiles.sqlite")
        self._cursor: str | None = None

    def sync(self) -> None:
        origin = Origin(self.store.begin_sync(), 1, "run")
        self.store.mark_synced(origin, self.warehouse.published_version())

    def tick(self, now: float) -> dg.RunRequest | dg.SkipReason:
        answer, self._cursor = request_sync(
            self.instance, self.warehouse, self.store, self._cursor, now
        )
        return answer

    def ends(self, asked: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
        self.instance.create_run_for_job(sync_profiles, status=status, tags=dict(asked.tags))


@pytest.fixture
def world(tmp_path: Path, instance: dg.DagsterInstance) -> World:
    return World(tmp_path, instance)


def asked(answer: dg.RunRequest | dg.SkipReason) -> dg.RunRequest:
    assert isinstance(answer, dg.RunRequest)
    return answer


def test_nothing_is_asked_for_before_anything_is_published_nor_when_all_is_synced(world: World):
    assert isinstance(world.tick(0), dg.SkipReason)
    world.warehouse.publish()
    world.sync()
    assert isinstance(world.tick(LATER), dg.SkipReason)


def test_a_version_that_has_waited_for_a_while_is_asked_for(world: World):
    world.warehouse.publish()
    assert isinstance(world.tick(0), dg.SkipReason)
    first = asked(world.tick(LATER))
    world.ends(first, dg.DagsterRunStatus.SUCCESS)
    # Dagster starts one run per key: one that brought nothing is not repeated for ever.
    assert asked(world.tick(2 * LATER)).run_key == first.run_key
    world.sync()
    assert isinstance(world.tick(3 * LATER), dg.SkipReason)


def test_each_version_has_a_wait_of_its_own(world: World):
    world.warehouse.publish()
    world.tick(0)
    world.warehouse.publish()
    assert isinstance(world.tick(LATER), dg.SkipReason)
    assert isinstance(world.tick(2 * LATER), dg.RunRequest)


def test_nothing_is_asked_for_while_any_run_may_still_sync_it(world: World):
    world.warehouse.publish()
    world.tick(0)
    world.instance.create_run_for_job(sync_profiles, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(world.tick(LATER), dg.SkipReason)


@pytest.mark.fault("F50")
def test_syncs_in_vain_are_repeated_until_the_loop_breaker_opens(world: World):
    world.warehouse.publish()
    world.tick(0)
    keys = set()
    for place in range(MAX_FAILURES):
        request = asked(world.tick(LATER + place))
        keys.add(request.run_key)
        world.ends(request, dg.DagsterRunStatus.FAILURE)
    assert len(keys) == MAX_FAILURES
    skipped = world.tick(2 * LATER)
    assert isinstance(skipped, dg.SkipReason)
    assert "by hand" in str(skipped.skip_message)
