from __future__ import annotations

from pathlib import Path

import pytest

from cdp_assets.sample.generate import generate, write_increment
from cdp_assets.sample.size import SampleSize
from tests.unit.sample.landed import Landed

SIZE = SampleSize(people=3_000, crm_rows=3_300, events=16_000, days=4, object_rows=50_000)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Landed:
    home = tmp_path_factory.mktemp("base")
    return Landed(home, generate(home / "landing", home / "truth.parquet", SIZE))


@pytest.fixture(scope="module")
def increment(tmp_path_factory: pytest.TempPathFactory) -> Landed:
    home = tmp_path_factory.mktemp("increment")
    return Landed(home, write_increment(home / "landing", SIZE, share=0.05))


def test_an_increment_touches_about_the_share_of_the_customers(increment: Landed):
    assert 0.03 * SIZE.people < increment.report.people < 0.055 * SIZE.people
    assert 0.03 * SIZE.events < increment.report.total_rows < 0.08 * SIZE.events


def test_an_increment_lands_on_one_new_day_only(increment: Landed):
    days = {path.parent.name for path in (increment.home / "landing").rglob("*") if path.is_file()}
    assert days == {"dt=2026-08-31"}


def test_an_increment_speaks_of_the_same_people_and_a_few_new_ones(base: Landed, increment: Landed):
    known = {row["Id"] for row in base.contacts}
    seen = {row["Id"] for row in increment.contacts}
    assert len(seen & known) > 10 * len(seen - known) > 0
    loyal = {row["loyalty_id"] for row in base.receipts} | {
        row["Loyalty_Id__c"] for row in base.contacts
    }
    told = [row["loyalty_id"] for row in increment.receipts if row["loyalty_id"]]
    assert sum(loyalty in loyal for loyalty in told) > 0.8 * len(told)


def test_an_increment_repeats_no_event_of_the_window(base: Landed, increment: Landed):
    def keys(landed: Landed) -> set[str]:
        return {call["messageId"] for source in ("web", "mobile") for call in landed.events(source)}

    assert not keys(base) & keys(increment)
    assert not {r["receipt_id"] for r in base.receipts} & {
        r["receipt_id"] for r in increment.receipts
    }


def test_a_day_of_the_window_is_no_increment(tmp_path: Path):
    with pytest.raises(ValueError, match="not an increment"):
        write_increment(tmp_path, SIZE, day=2)
