from dataclasses import replace
from pathlib import Path

import pytest

from cdp_assets.errors import PlatformError
from cdp_assets.identity.match_model import TermFrequencies, load_default
from cdp_assets.identity.model_files import keep_model, load_model, use_model
from cdp_assets.resources.object_store import LocalObjectStore
from cdp_assets.resources.warehouse import DuckDBWarehouse


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "lake")


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(tmp_path / "cdp.duckdb", tmp_path / "published.duckdb", "1GB")


def test_a_kept_model_is_found_by_its_version(store):
    model = replace(load_default(), version="trained-1")
    assert keep_model(model, store) == "models/identity/trained-1.json"
    assert load_model("trained-1", store) == model


def test_a_model_file_of_this_machine_can_be_named(store, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(replace(load_default(), version="mine").dump())
    assert load_model(str(path), store).version == "mine"


@pytest.mark.parametrize("name", ["trained-9", "../secret", "nowhere.json", ""])
def test_a_model_that_is_not_there_is_a_clear_error(name, store):
    with pytest.raises(PlatformError, match="CDP_IDENTITY_MODEL"):
        load_model(name, store)


def test_term_frequencies_are_written_once_per_version(store, warehouse):
    frequencies = {"last_name": TermFrequencies(0.001, {"smith": 0.01, "jones": 0.008})}
    model = replace(load_default(), version="a", term_frequencies=frequencies)
    assert use_model(model, warehouse) == 3
    edited_without_a_new_version = replace(model, term_frequencies={})
    assert use_model(edited_without_a_new_version, warehouse) == 3
    assert use_model(replace(edited_without_a_new_version, version="b"), warehouse) == 0
    version = warehouse.query("select version from identity.match_model")
    assert version["version"].to_pylist() == ["b"]
