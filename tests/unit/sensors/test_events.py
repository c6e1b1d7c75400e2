"""The queue's sensor: nothing is lost, whatever comes twice, late, in any order, or is killed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cdp_assets.resources.build import build_object_events
from cdp_assets.resources.object_events import Message, NoObjectEvents, ObjectEvent
from cdp_assets.resources.object_ledger import SQLiteObjectLedger
from cdp_assets.resources.object_store import LocalObjectStore
from cdp_assets.sensors.events import Look, build_event_sensors, tick
from cdp_assets.sensors.landing import build_landing_sensors
from cdp_assets.settings import Limits, Settings, SettingsError, load_settings
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.extract import extract_days
from cdp_assets.sources.planner import Landing
from tests.unit.s3 import s3_endpoint
from tests.unit.sensors.landed import settle, touch
from tests.unit.sources.conftest import DAY, crm_csv, crm_row
from tests.unit.streaming import MAX_RECEIVE_COUNT, PREFIX, Bucket, bucket

__all__ = ["bucket", "s3_endpoint"]

CONTRACTS = load_contracts()
CRM = CONTRACTS["crm", "contacts"]
TODAY = f"landing/crm/contacts/dt={DAY}"


@dataclass
class Platform:
    """The sensor over a queue, with the lake and the ledger beside it."""

    bucket: Bucket
    ledger: SQLiteObjectLedger
    instance: dg.DagsterInstance
    settings: Settings
    cursor: str | None = None

    def tick(self, *, killed: bool = False, store: Any = None) -> Any:
        """One tick of the sensor; one that is killed keeps no cursor."""
        (sensor,) = build_event_sensors(list(CONTRACTS.values()), self.settings)
        resources = {
            "store": store or self.bucket.store,
            "ledger": self.ledger,
            "events": self.bucket.events,
        }
        with dg.build_sensor_context(self.instance, self.cursor, resources=resources) as context:
            found = sensor.evaluate_tick(context)
        if not killed:
            self.cursor = found.cursor
        return found

    def asked(self, **how: Any) -> bool:
        """One tick; whether it asked for a run."""
        return bool(self.tick(**how).run_requests)

    def run(self) -> int:
        """What a run does over the day; how many objects it extracted."""
        report = extract_days(
            CRM, [DAY], store=self.bucket.store, ledger=self.ledger, settings=self.settings
        )
        return report.total.objects

    def land(self, name: str, row: int = 1) -> str:
        """Put an object into landing, of which S3 tells the queue."""
        key = f"{TODAY}/{name}"
        self.bucket.store.write(key, crm_csv(crm_row(row)))
        return key

    def settle(self) -> None:
        """Ticks until the queue is empty."""
        for _ in range(4):
            self.bucket.time_out()
            assert not self.asked()
        assert self.bucket.counts() == (0, 0)
        assert self.bucket.counts(self.bucket.dead_letter_url) == (0, 0)


@pytest.fixture
def platform(bucket: Bucket, tmp_path: Path) -> Iterator[Platform]:
    variables = {
        "CDP_HOME": str(tmp_path),
        "CDP_LAKE_URL": f"s3://{bucket.name}/{PREFIX}",
        "CDP_LANDING_QUEUE_URL": bucket.queue_url,
    }
    with dg.DagsterInstance.ephemeral() as instance:
        ledger = SQLiteObjectLedger(tmp_path / "ledger.sqlite")
        yield Platform(bucket, ledger, instance, load_settings(variables))


def test_a_new_object_is_asked_for_loaded_once_and_forgotten(platform: Platform) -> None:
    platform.land("ä b+c.csv")
    assert platform.asked()
    assert platform.run() == 1
    assert platform.run() == 0
    platform.settle()
    assert platform.cursor == "{}"


def test_a_message_stays_until_what_it_led_to_is_kept(platform: Platform) -> None:
    platform.land("a.csv")
    platform.tick()
    assert platform.bucket.counts() == (0, 1)
    platform.bucket.time_out()
    platform.tick()
    assert platform.bucket.counts() == (0, 0)


def test_a_tick_that_is_killed_after_it_asked_loses_nothing(platform: Platform) -> None:
    platform.land("a.csv")
    assert platform.asked(killed=True)
    assert not platform.asked()
    platform.bucket.time_out()
    assert platform.asked()
    assert platform.run() == 1
    platform.settle()


@pytest.mark.fault("F24")
def test_a_tick_that_fails_while_it_lists_loses_nothing(platform: Platform) -> None:
    class Broken:
        def list(self, prefix: str, after: str = "") -> None:
            raise ConnectionError(f"{prefix} {after}")

    platform.land("a.csv")
    with pytest.raises(ConnectionError):
        platform.tick(store=Broken())
    platform.bucket.time_out()
    assert platform.asked()


def test_a_kill_at_any_tick_loses_nothing_of_objects_that_keep_coming(platform: Platform) -> None:
    dice = random.Random(5)
    for step in range(20):
        platform.land(f"{step}.csv", step)
        platform.tick(killed=dice.random() < 0.5)
        if dice.random() < 0.3:
            platform.run()
        if dice.random() < 0.5:
            platform.bucket.time_out()
    platform.bucket.time_out()
    platform.tick()
    platform.run()
    assert platform.ledger.rows()["status"].to_pylist() == ["loaded"] * 20


def test_a_folder_stays_in_mind_after_its_messages_are_gone_until_it_is_loaded(
    platform: Platform,
) -> None:
    platform.land("a.csv")
    for _ in range(5):
        assert platform.asked()
        platform.bucket.time_out()
    assert platform.bucket.counts() == (0, 0)
    assert platform.bucket.counts(platform.bucket.dead_letter_url) == (0, 0)
    assert platform.run() == 1
    platform.settle()


@pytest.mark.fault("F05", "F08")
def test_duplicates_in_any_order_cost_one_load(platform: Platform) -> None:
    keys = [f"{PREFIX}/{platform.land(f'{n}.csv', n)}" for n in range(30)]
    repeats = [
        {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": platform.bucket.name}, "object": {"key": key}},
        }
        for key in keys * 2
    ]
    random.Random(3).shuffle(repeats)
    platform.bucket.send(*repeats)
    assert platform.asked()
    assert platform.run() == 30
    platform.settle()
    assert platform.ledger.rows().num_rows == 30


@pytest.mark.fault("F06")
def test_news_of_a_version_that_was_overwritten_loads_the_version_that_is_there(
    platform: Platform,
) -> None:
    key = platform.land("a.csv", 1)
    platform.land("a.csv", 2)
    assert platform.asked()
    assert platform.run() == 1
    platform.settle()
    found = platform.ledger.current(key)
    assert found is not None
    assert found.object_version == platform.bucket.store.head(key).version


@pytest.mark.fault("F09")
def test_news_of_an_object_that_was_deleted_asks_for_nothing(platform: Platform) -> None:
    platform.bucket.store.delete(platform.land("a.csv"))
    assert not platform.asked()
    platform.settle()


def test_a_message_that_nobody_can_read_is_reported_and_stops_nothing(platform: Platform) -> None:
    platform.bucket.send("jane@example.com")
    platform.land("a.csv")
    assert platform.asked()
    assert platform.run() == 1
    for _ in range(MAX_RECEIVE_COUNT):
        platform.bucket.time_out()
        platform.tick()
    assert platform.bucket.counts() == (0, 0)
    assert platform.bucket.counts(platform.bucket.dead_letter_url) == (1, 0)


def test_an_object_that_no_contract_speaks_of_asks_for_nothing(platform: Platform) -> None:
    for key in ("landing/crm/surprise/dt=2026-03-01/a", "landing/crm/a", f"{TODAY}/a.tmp"):
        platform.bucket.store.write(key, b"?")
    assert not platform.asked()
    platform.settle()


def test_what_does_not_fit_into_a_tick_comes_in_later_ones(platform: Platform) -> None:
    limits = replace(platform.settings.limits, messages_per_tick=7, objects_per_tick=5)
    platform.settings = replace(platform.settings, limits=limits)
    for n in range(40):
        platform.land(f"{n:02}.csv", n)
    assert platform.asked()
    assert platform.run() == 40
    for _ in range(20):
        platform.bucket.time_out()
        assert not platform.asked()
    assert platform.bucket.counts() == (0, 0)


def test_a_long_folder_is_looked_at_over_several_ticks_and_once_more_for_what_came_meanwhile(
    tmp_path: Path,
) -> None:
    store = LocalObjectStore(tmp_path / "lake")
    ledger = SQLiteObjectLedger(tmp_path / "ledger.sqlite")
    landing = Landing([CRM], store, ledger)
    limits = replace(Limits(), listed_per_tick=1_000)
    touch(tmp_path / "lake", [f"{TODAY}/{n:04}.csv" for n in range(2_500)])
    settle(tmp_path / "ledger.sqlite", store.list("landing"))
    found = tick({}, [_message(f"{TODAY}/2499.csv")], landing, limits)
    assert (found.folders, found.done) == ({TODAY: Look(f"{TODAY}/0999.csv")}, [])
    # Behind the key that the listing has come to.
    store.write(f"{TODAY}/0000-late.csv", b"")
    late = _message(f"{TODAY}/0000-late.csv")
    found = tick(found.folders, [late], landing, limits)
    assert (found.folders, found.done) == ({TODAY: Look(f"{TODAY}/1999.csv", True)}, [])
    found = tick(found.folders, [late], landing, limits)
    assert (found.folders, found.done) == ({TODAY: Look()}, [late])
    found = tick(found.folders, [], landing, limits)
    assert [landed.info.key for landed in found.plan.objects] == [f"{TODAY}/0000-late.csv"]


def _message(key: str) -> Message:
    return Message(key, key, (ObjectEvent(key, "another"),))


def test_while_a_queue_tells_of_objects_listing_begins_anew_only_after_its_pause(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1_800_000_000.0
    monkeypatch.setattr("time.time", lambda: clock)
    sensors = build_landing_sensors([CRM], platform.settings)
    platform.land("a.csv")
    resources = {"store": platform.bucket.store, "ledger": platform.ledger}
    cursor, asked = None, []
    for after in (0, 10, 890, 899, 901):
        clock = 1_800_000_000.0 + after
        with dg.build_sensor_context(platform.instance, cursor, resources=resources) as context:
            found = sensors[0].evaluate_tick(context)
        cursor = found.cursor
        asked.append(bool(found.run_requests))
    assert asked == [True, False, False, False, True]


@pytest.mark.parametrize("cursor", ["", "x", "[]", "{}", '{"a": 1}', '{"a": [1, 2]}', "null"])
def test_a_cursor_that_somebody_wrote_by_hand_stops_nothing(
    platform: Platform, cursor: str
) -> None:
    platform.cursor = cursor
    platform.land("a.csv")
    assert platform.asked()


def test_without_a_queue_there_is_no_sensor_and_a_queue_needs_a_bucket(tmp_path: Path) -> None:
    settings = load_settings({"CDP_HOME": str(tmp_path)})
    assert build_event_sensors([CRM], settings) == []
    assert isinstance(build_object_events(settings), NoObjectEvents)
    with pytest.raises(SettingsError, match="no bucket"):
        build_object_events(replace(settings, landing_queue_url="q"))
