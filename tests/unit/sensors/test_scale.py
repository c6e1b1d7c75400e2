"""A hundred thousand objects: each is asked for once, in ticks that list a bounded number."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from cdp_assets.resources.object_ledger import SQLiteObjectLedger
from cdp_assets.resources.object_store import LocalObjectStore, ObjectStore
from cdp_assets.sensors.landing import Round, build_landing_sensors, list_next
from cdp_assets.settings import Limits, load_settings
from cdp_assets.sources.planner import Landing, LandingPlan, plan_source
from tests.unit.s3 import s3_endpoint, s3_store
from tests.unit.sensors.landed import CRM, settle, touch

__all__ = ["s3_endpoint", "s3_store"]

LIMITS = Limits()


@pytest.fixture
def ledger(tmp_path: Path) -> SQLiteObjectLedger:
    return SQLiteObjectLedger(tmp_path / "ledger.sqlite")


@pytest.fixture
def local(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "lake")


def one_round(
    store: ObjectStore, ledger: SQLiteObjectLedger, limits: Limits = LIMITS
) -> list[LandingPlan]:
    """What the ticks of one whole round ask for."""
    landing, at, plans = Landing([CRM], store, ledger), Round(), []
    while True:
        made, at = list_next("crm", at, landing, ledger, limits)
        assert len(made.objects) <= limits.objects_per_tick
        assert len(at.token) < 2_000
        plans.append(made)
        if not at.after:
            return plans


def keys_of(plans: Iterable[LandingPlan]) -> list[str]:
    return [landed.info.key for made in plans for landed in made.objects]


@pytest.mark.slow
@pytest.mark.fault("F08", "F15")
def test_a_round_over_a_hundred_thousand_objects_asks_for_each_new_one_once(
    local: LocalObjectStore, ledger: SQLiteObjectLedger, tmp_path: Path
) -> None:
    days = [f"2026-03-{day:02}" for day in range(1, 11)]
    keys = [
        f"landing/crm/contacts/dt={day}/{n % 7}/{n:05}.csv" for day in days for n in range(10_000)
    ]
    touch(tmp_path / "lake", keys)
    new = set(keys[::50])
    settle(tmp_path / "ledger.sqlite", (i for i in local.list("landing") if i.key not in new))
    plans = one_round(local, ledger)
    assert len(plans) >= 5
    asked = keys_of(plans)
    assert len(asked) == len(set(asked))
    assert set(asked) == new
    settle(tmp_path / "ledger.sqlite", (i for i in local.list("landing") if i.key in new))
    assert keys_of(one_round(local, ledger)) == []


@pytest.mark.fault("F08")
def test_ten_thousand_objects_of_one_second_are_each_asked_for_once(
    local: LocalObjectStore, ledger: SQLiteObjectLedger, tmp_path: Path
) -> None:
    keys = [f"landing/crm/contacts/dt=2026-03-01/{n:05}.csv" for n in range(10_000)]
    touch(tmp_path / "lake", keys)
    asked = keys_of(one_round(local, ledger))
    assert len(asked) == 10_000
    assert set(asked) == set(keys)


@pytest.mark.slow
def test_an_s3_bucket_is_gone_through_the_same_way(
    s3_store: ObjectStore, ledger: SQLiteObjectLedger, tmp_path: Path
) -> None:
    keys = {f"landing/crm/contacts/dt=2026-03-{n % 3 + 1:02}/ä b+{n}.csv" for n in range(1_200)}
    for key in keys:
        s3_store.write(key, b"")
    limits = replace(LIMITS, listed_per_tick=1, objects_per_tick=500)
    asked = keys_of(one_round(s3_store, ledger, limits))
    assert len(asked) == len(keys)
    assert set(asked) == keys
    settle(tmp_path / "ledger.sqlite", s3_store.list("landing"))
    s3_store.write("landing/crm/contacts/dt=2026-03-02/ä b+1.csv", b"over it")
    assert keys_of(one_round(s3_store, ledger, limits)) == [
        "landing/crm/contacts/dt=2026-03-02/ä b+1.csv"
    ]


@pytest.mark.fault("F08")
def test_a_round_that_is_cut_anywhere_finds_what_one_listing_finds(
    local: LocalObjectStore, ledger: SQLiteObjectLedger, tmp_path: Path
) -> None:
    names = ["a", "a-b/x", "a/x", "a b", "é/1", "z/2/3", "ä+%", "0"]
    keys = [f"landing/crm/contacts/dt=2026-03-0{day}/{n}" for day in (1, 2) for n in names]
    keys.remove("landing/crm/contacts/dt=2026-03-01/a")
    keys.remove("landing/crm/contacts/dt=2026-03-02/a")
    touch(tmp_path / "lake", [*keys, "landing/crm/unknown/x", "landing/crm/0", "landing/crm/zz"])
    listed = [info.key for info in local.list("landing/crm")]
    assert listed == sorted(listed)
    for place in range(len(listed)):
        rest = [info.key for info in local.list("landing/crm", after=listed[place])]
        assert rest == listed[place + 1 :]
    for objects in (1, 2, 3, 100):
        plans = one_round(local, ledger, replace(LIMITS, objects_per_tick=objects))
        assert sorted(keys_of(plans)) == sorted(keys)
        assert [u.object_key for u in ledger.unknown()] == [
            "landing/crm/0", "landing/crm/unknown/x", "landing/crm/zz"
        ]  # fmt: skip


def test_what_the_command_line_plans_is_the_oldest_of_all(
    local: LocalObjectStore, ledger: SQLiteObjectLedger, tmp_path: Path
) -> None:
    keys = [f"landing/crm/contacts/dt=2026-03-{n % 9 + 1:02}/{n:04}.csv" for n in range(4_500)]
    touch(tmp_path / "lake", keys)
    made = plan_source("crm", [CRM], local, ledger, load_settings({}))
    assert made.days == ["2026-03-01", "2026-03-02"]
    assert (len(made.objects), made.remaining) == (1_000, 3_500)


def test_the_sensor_goes_on_where_its_cursor_says_and_begins_anew_without_one(
    local: LocalObjectStore, ledger: SQLiteObjectLedger, tmp_path: Path
) -> None:
    keys = [f"landing/crm/contacts/dt=2026-03-0{n % 3 + 1}/{n:04}.csv" for n in range(1_500)]
    touch(tmp_path / "lake", keys)
    (sensor,) = build_landing_sensors([CRM], load_settings({"CDP_HOME": str(tmp_path)}))
    resources = {"store": local, "ledger": ledger}
    asked, cursor = [], None
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            with dg.build_sensor_context(instance, cursor, resources=resources) as context:
                found = sensor.evaluate_tick(context)
            asked.append(found.run_requests)
            cursor = found.cursor
        assert all(asked)
        assert json.loads(cursor or "")[0] == ""
        for junk in ("x", "{}", "[1]", "[[], []]"):
            with dg.build_sensor_context(instance, junk, resources=resources) as context:
                assert sensor.evaluate_tick(context).run_requests
