"""How far a published version goes, and when a run has to go on where one failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cdp_assets.naming import SOURCES
from cdp_assets.profile.publish import covered_load_id, is_behind
from cdp_assets.resources.object_ledger import LedgerEntry, SQLiteObjectLedger, utc_now
from cdp_assets.resources.warehouse import DuckDBWarehouse

KEY = "landing/crm/contacts/dt=2026-03-01/a.csv"
OTHER = "landing/crm/contacts/dt=2026-03-01/b.csv"
FIRST = LedgerEntry(
    source="crm",
    entity="contacts",
    dt="2026-03-01",
    object_key=KEY,
    object_version="v1",
    size=10,
    status="loaded",
    load_id=0,
    attempt=1,
    contract_version=1,
    loaded_at=utc_now(),
    records_in=1,
    records_loaded=1,
)


@pytest.fixture
def ledger(tmp_path: Path) -> SQLiteObjectLedger:
    return SQLiteObjectLedger(tmp_path / "ledger.sqlite")


def load(ledger: SQLiteObjectLedger, key: str = KEY, version: str = "v1", **changes: object) -> int:
    """Extract one object; gives the load id."""
    reservation = ledger.begin(key, version)
    entry = replace(FIRST, object_key=key, load_id=reservation.load_id, object_version=version)
    ledger.commit(replace(entry, **changes))
    return reservation.load_id


def covered(
    tmp_path: Path, ledger: SQLiteObjectLedger, cleansed: dict[str, int], since: int = 0
) -> int:
    """What is covered when the cleansed table has a row of each of these objects, by load id."""
    warehouse = DuckDBWarehouse(tmp_path / "cdp.duckdb", tmp_path / "published.duckdb", "1GB")
    warehouse.replace_table(SOURCES, "object_ledger", ledger.rows())
    rows = pa.table(
        {
            "_object_key": pa.array(cleansed.keys(), pa.string()),
            "_last_load_id": pa.array(cleansed.values(), pa.int64()),
        }
    )
    warehouse.replace_table("cleansed", "clean_crm__contacts", rows)
    return covered_load_id(warehouse, since)


def test_a_load_whose_rows_are_not_cleansed_yet_is_not_covered(tmp_path, ledger):
    first, second = load(ledger), load(ledger, OTHER)
    assert covered(tmp_path, ledger, {KEY: first}) == first
    assert covered(tmp_path, ledger, {KEY: first, OTHER: second}) == second


def test_an_object_that_came_again_without_a_row_is_covered_when_its_rows_are_gone(
    tmp_path, ledger
):
    other = load(ledger, OTHER)
    before = load(ledger)
    empty = load(ledger, version="v2", status="empty", records_loaded=0)
    assert covered(tmp_path, ledger, {OTHER: other, KEY: before}) == before
    assert covered(tmp_path, ledger, {OTHER: other}) == empty
    # What is published already is not looked at again.
    assert covered(tmp_path, ledger, {OTHER: other, KEY: other}, since=empty) == empty


@pytest.mark.fault("F01", "F02")
def test_a_run_goes_on_only_where_something_is_loaded_and_not_published(ledger):
    assert not is_behind(ledger)
    first = load(ledger)
    assert is_behind(ledger)
    ledger.mark_published(first)
    assert not is_behind(ledger)
