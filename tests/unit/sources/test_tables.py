"""The warehouse sees the raw files and the ledger as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cdp_assets.resources.build import build_ledger, build_object_store, build_warehouse
from cdp_assets.resources.object_ledger import LEDGER_SCHEMA
from cdp_assets.settings import Settings, load_settings
from cdp_assets.sources.tables import parse_landing_key, raw_schema, refresh_source_tables
from tests.unit.sources.conftest import Lake, crm_csv, crm_row


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"CDP_HOME": str(tmp_path / "home")})


@pytest.fixture
def home(crm: Lake, settings: Settings) -> Lake:
    return replace(crm, store=build_object_store(settings), ledger=build_ledger(settings))


def test_the_raw_view_and_the_ledger_exist_before_any_object(
    home: Lake, settings: Settings
) -> None:
    warehouse = build_warehouse(settings)
    refresh_source_tables([home.contract], warehouse, home.ledger, home.store)
    raw = warehouse.query("select * from sources.raw_crm__contacts")
    assert raw.num_rows == 0
    assert raw.column_names == [*raw_schema(home.contract).names, "dt"]
    ledger = warehouse.query("select * from sources.object_ledger")
    assert ledger.column_names == LEDGER_SCHEMA.names


def test_the_raw_view_follows_the_files(home: Lake, settings: Settings) -> None:
    warehouse = build_warehouse(settings)
    refresh_source_tables([home.contract], warehouse, home.ledger, home.store)
    home.load(crm_csv(crm_row(1), crm_row("")))
    refresh_source_tables([home.contract], warehouse, home.ledger, home.store)
    [row] = warehouse.query("select * from sources.raw_crm__contacts").to_pylist()
    assert (row["contact_id"], str(row["dt"])) == ("1", "2026-03-01")
    [entry] = warehouse.query("select * from sources.object_ledger").to_pylist()
    assert (entry["records_in"], entry["records_loaded"], entry["status"]) == (2, 1, "loaded")


def test_a_landing_key_names_its_source_entity_and_day() -> None:
    key = parse_landing_key("landing/crm/contacts/dt=2026-03-01/some/deeper/a.csv")
    assert (key.source, key.entity, key.dt) == ("crm", "contacts", "2026-03-01")
