"""What a tick asks for, given a listing and a ledger."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cdp_assets.resources.object_ledger import Settled
from cdp_assets.resources.object_store import ObjectInfo
from cdp_assets.settings import load_settings
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.planner import LandingPlan, plan, plan_source
from tests.unit.sources.conftest import DAY, Lake, crm_csv, crm_row

DAYS = frozenset({"2026-02-28", DAY, "2026-03-02"})
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def info(key: str, version: str = "v1", modified_at: datetime = NOW) -> ObjectInfo:
    return ObjectInfo(key, version, 10, modified_at)


def key(name: str, day: str = DAY) -> str:
    return f"landing/crm/contacts/dt={day}/{name}"


@pytest.fixture
def crm_contracts(contracts: dict[tuple[str, str], Contract]) -> dict[tuple[str, str], Contract]:
    return {k: c for k, c in contracts.items() if k[0] == "crm"}


def planned(
    contracts: dict[tuple[str, str], Contract],
    listing: Iterable[ObjectInfo],
    settled: dict[str, Settled] | None = None,
    limit: int = 100,
) -> LandingPlan:
    return plan(listing, contracts, settled or {}, days=DAYS, limit=limit)


def names(made: LandingPlan) -> list[str]:
    return [landed.info.key.rsplit("/", 1)[-1] for landed in made.objects]


@pytest.mark.fault("F05")
def test_what_the_ledger_has_at_that_version_is_not_asked_for(
    crm_contracts: dict[tuple[str, str], Contract],
) -> None:
    listing = [info(key("a")), info(key("b"), "v2"), info(key("c"))]
    settled = {key("a"): Settled("v1", 1, 3), key("b"): Settled("v1", 1, 4)}
    made = planned(crm_contracts, listing, settled)
    assert names(made) == ["b", "c"]
    assert [landed.replaces for landed in made.objects] == [4, 0]


def test_a_new_contract_version_asks_for_everything_again(
    crm_contracts: dict[tuple[str, str], Contract],
) -> None:
    newer = {k: replace(c, version=2) for k, c in crm_contracts.items()}
    assert names(planned(newer, [info(key("a"))], {key("a"): Settled("v1", 1, 3)})) == ["a"]


@pytest.mark.fault("F08", "F23")
def test_the_order_and_the_clocks_of_the_listing_do_not_matter(
    crm_contracts: dict[tuple[str, str], Contract],
) -> None:
    listing = [info(key(str(i)), modified_at=NOW.replace(year=2000 + i)) for i in range(20)]
    one, other = planned(crm_contracts, listing), planned(crm_contracts, reversed(listing))
    assert one == other
    assert len(one.objects) == 20
    assert one.digest == other.digest


def test_the_oldest_landing_days_go_first_and_the_rest_waits(
    crm_contracts: dict[tuple[str, str], Contract],
) -> None:
    listing = [info(key("new", "2026-03-02")), info(key("old", "2026-02-28")), info(key("mid"))]
    made = planned(crm_contracts, listing, limit=2)
    assert (names(made), made.remaining) == (["old", "mid"], 1)
    assert made.days == ["2026-02-28", DAY]


@pytest.mark.fault("F06")
def test_another_version_is_another_digest(
    crm_contracts: dict[tuple[str, str], Contract],
) -> None:
    versions = ("v1", "v2")
    digests = {planned(crm_contracts, [info(key("a"), v)]).digest for v in versions}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ("landing/crm/orders/dt=2026-03-01/a", "no contract speaks of crm/orders"),
        ("landing/crm/contacts/2026-03-01/a", "no day"),
        ("landing/crm/contacts/dt=2026-02-30/a", "no day"),
        ("landing/crm/contacts/dt%3D2026-03-01/a", "no day"),
        ("landing/crm/contacts/dt=2026-03-01", "it is not landing/"),
        ("landing/crm/a.csv", "it is not landing/"),
        ("landing/crm/contacts/dt=2026-04-01/a", "is no landing day"),
        ("landing/crm/Contacts/dt=2026-03-01/a", "no lower-case name"),
        ("landing/crm/contacts/dt=2026-03-01/../../a", "is no object key"),
        ("landing/crm//contacts/dt=2026-03-01/a", "is no object key"),
        ("landing/crm/contacts/dt=2026-03-01/a\nb", "is no object key"),
    ],
)
def test_an_object_that_no_contract_speaks_of_is_reported(
    crm_contracts: dict[tuple[str, str], Contract], odd: str, reason: str
) -> None:
    made = planned(crm_contracts, [info(odd), info(key("good"))])
    assert names(made) == ["good"]
    assert [found.object_key for found in made.unknown] == [odd]
    assert reason in made.unknown[0].reason
    assert "\n" not in made.problems[0]


def test_many_unknown_objects_are_summed_up(
    crm_contracts: dict[tuple[str, str], Contract],
) -> None:
    made = planned(crm_contracts, [info(f"landing/crm/{i}") for i in range(25)])
    assert len(made.unknown) == 25
    assert made.problems[-1] == "15 more unknown objects are not loaded."


@pytest.mark.fault("F15")
def test_a_hundred_thousand_tiny_objects_are_planned_in_seconds(
    crm_contracts: dict[tuple[str, str], Contract],
) -> None:
    listing = [info(key(f"{i:06}")) for i in range(100_000)]
    started = time.perf_counter()
    made = planned(crm_contracts, listing, limit=1_000)
    assert (len(made.objects), made.remaining) == (1_000, 99_000)
    assert time.perf_counter() - started < 10


def test_a_source_is_planned_from_its_folder_and_its_ledger(crm: Lake) -> None:
    settings = load_settings({})
    crm.load(crm_csv(crm_row(1)), "a.csv")
    crm.land("b.csv", crm_csv(crm_row(2)))
    crm.store.write("landing/crm/surprise.txt", b"?")
    made = plan_source("crm", [crm.contract], crm.store, crm.ledger, settings)
    assert names(made) == ["b.csv"]
    assert [found.object_key for found in crm.ledger.unknown()] == ["landing/crm/surprise.txt"]
