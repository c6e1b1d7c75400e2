from __future__ import annotations

import dagster as dg
import pytest

from cdp_assets.dbt.assets import never_built
from cdp_assets.resources.warehouse import DuckDBWarehouse

MANIFEST = {
    "nodes": {
        "seed.names": {"schema": "cleansed", "name": "names", "resource_type": "seed"},
        "seed.limits": {"schema": "identity", "name": "limits", "resource_type": "seed"},
        "model.crm": {"schema": "cleansed", "name": "crm", "resource_type": "model"},
        "model.web": {"schema": "cleansed", "name": "web", "resource_type": "model"},
        "model.links": {"schema": "identity", "name": "links", "resource_type": "model"},
        "test.links": {"schema": "identity", "name": "links_are_unique", "resource_type": "test"},
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
