from __future__ import annotations

import dagster as dg
import pytest

from cdp_assets.dbt.assets import never_built
from cdp_assets.resources.warehouse import DuckDBWarehouse


def _node(kind: str, layer: str, name: str) -> dict[str, object]:
    return {"resource_type": kind, "config": {"schema": layer}, "name": name}


MANIFEST = {
    "nodes": {
        "seed.names": _node("seed", "cleansed", "names"),
        "seed.limits": _node("seed", "identity", "limits"),
        "model.crm": _node("model", "cleansed", "crm"),
        "model.web": _node("model", "cleansed", "web"),
        "model.links": _node("model", "identity", "links"),
        "test.links": _node("test", "identity", "links_are_unique"),
    },
    "parent_map": {
        "seed.names": [],
        "seed.limits": [],
        "model.crm": ["seed.names", "source.crm"],
        "model.web": ["seed.names", "source.web"],
        "model.links": ["model.crm", "model.web"],
        "test.links": ["model.links"],
    },
}


@pytest.fixture
def warehouse(tmp_path):
    return DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "published.duckdb", "1GB")


def _never_built(warehouse, layer: str, *selected: str) -> list[str]:
    return never_built(MANIFEST, layer, {dg.AssetKey([layer, one]) for one in selected}, warehouse)


def test_in_a_fresh_home_one_source_needs_the_seeds_it_looks_things_up_in(warehouse):
    assert _never_built(warehouse, "cleansed", "crm") == ["names"]


def test_a_table_that_joins_sources_needs_those_nobody_selected_and_its_layers_seeds(warehouse):
    assert _never_built(warehouse, "identity", "links") == ["crm", "limits", "names", "web"]


def test_what_is_there_already_is_not_built_again(warehouse):
    warehouse.execute(
        "create table cleansed.crm as select 1 as n",
        "create view cleansed.names as select 1 as n",
        "create table identity.limits as select 1 as n",
    )
    assert _never_built(warehouse, "identity", "links") == ["web"]
