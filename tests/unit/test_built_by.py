"""When tables of other code are built anew, and when they are refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from cdp_assets import built_by
from cdp_assets.built_by import (
    NewerReleaseError,
    layers_of_other_code,
    mark_built,
    refuse_newer,
    this_release,
)
from cdp_assets.resources.warehouse import DuckDBWarehouse

pytestmark = pytest.mark.fault("F33")


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    """With a table in two of the three layers."""
    warehouse = DuckDBWarehouse(tmp_path / "cdp.duckdb", tmp_path / "published.duckdb", "1GB")
    for layer in ("cleansed", "identity"):
        warehouse.replace_table(layer, "some", pa.table({"n": [1]}))
    return warehouse


def test_tables_that_nobody_signed_are_of_other_code(warehouse):
    assert layers_of_other_code(warehouse) == ["cleansed", "identity"]


def test_a_layer_is_signed_by_itself_and_stays_so(warehouse):
    mark_built(warehouse, "cleansed")
    mark_built(warehouse, "cleansed")
    assert layers_of_other_code(warehouse) == ["identity"]


def test_another_fingerprint_makes_every_layer_one_of_other_code(warehouse, monkeypatch):
    for layer in ("cleansed", "identity"):
        mark_built(warehouse, layer)
    assert layers_of_other_code(warehouse) == []
    monkeypatch.setattr(built_by, "fingerprint", lambda: "another")
    assert layers_of_other_code(warehouse) == ["cleansed", "identity"]


def test_tables_of_a_newer_release_are_refused(warehouse, monkeypatch):
    monkeypatch.setattr(built_by, "this_release", lambda: "0.10.0")
    mark_built(warehouse, "cleansed")
    monkeypatch.setattr(built_by, "this_release", lambda: "0.9.3")
    with pytest.raises(NewerReleaseError, match=r"Release 0\.10\.0 built the tables"):
        layers_of_other_code(warehouse)


@pytest.mark.parametrize("releases", [[], ["0.0.9"], [this_release()]])
def test_older_tables_and_those_of_this_release_are_taken(releases):
    refuse_newer(releases)
