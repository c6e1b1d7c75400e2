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

FIRST = LedgerEntry(
    source="crm",
    entity="contacts",
    dt="2026-03-01",
    object_key="landing/crm/contacts/dt=2026-03-01/a.csv",
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


def load(ledger: SQLiteObjectLedger, version: str = "v1", **changes: object) -> int:
    """Extract one object; gives the load id."""
    reservation = ledger.begin(FIRST.object_key, version)
    entry = replace(FIRST, load_id=reservation.load_id, object_version=version)
    ledger.commit(replace(entry, **changes))
    return reservation.load_id


def covered(tmp_path: Path, ledger: SQLiteObjectLedger, cleansed: list[int]) -> int:
    """What is covered when the cleansed table has rows of these loads."""
    warehouse = DuckDBWarehouse(tmp_path / "cdp.duckdb", tmp_path / "published.duckdb", "1GB")
    warehouse.replace_table(SOURCES, "object_ledger", ledger.rows())
    rows = pa.table({"_last_load_id": pa.array(cleansed, pa.int64())})
    warehouse.replace_table("cleansed", "clean_crm__contacts", rows)
    return covered_load_id(warehouse)


def test_a_load_whose_rows_are_not_cleansed_yet_is_not_covered(tmp_path, ledger):
    first, second = load(ledger), load(ledger, "v2", object_key=FIRST.object_key + "2")
    assert covered(tmp_path, ledger, [first]) == first
    assert covered(tmp_path, ledger, [first, second]) == second


def test_a_load_that_was_replaced_by_an_empty_one_is_waited_for_no_more(tmp_path, ledger):
    older = load(ledger, object_key=FIRST.object_key + "2")
    load(ledger)
    load(ledger, "v2", records_loaded=0, records_quarantined=1)
    assert covered(tmp_path, ledger, [older]) == older


def test_a_run_goes_on_only_where_something_is_loaded_and_not_published(ledger):
    assert not is_behind(ledger)
    first = load(ledger)
    assert is_behind(ledger)
    ledger.mark_published(first)
    assert not is_behind(ledger)
