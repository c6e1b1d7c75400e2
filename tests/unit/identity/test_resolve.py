"""What a resolution writes does not depend on the order in which the engine hands rows over."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from cdp_assets.identity.resolve import resolve
from cdp_assets.identity.stable_ids import customer_id
from cdp_assets.identity.tables import CHANGES, MAP
from cdp_assets.resources.warehouse import DuckDBWarehouse
from tests.unit.identity import left_by_models


@pytest.mark.fault("F22")
@pytest.mark.parametrize("rules", [("same_email", "same_phone"), ("same_phone", "same_email")])
def test_of_two_equal_links_of_a_pair_the_first_rule_is_named_as_the_cause_of_a_merge(
    tmp_path: Path, rules: tuple[str, str]
):
    tables = left_by_models.tables()
    twice = tables["identity_edges"].take(pa.array([0, 0]))
    tables["identity_edges"] = twice.set_column(
        twice.column_names.index("rule"), "rule", pa.array(rules)
    )
    anchors = pa.array([customer_id("a"), customer_id("b")])
    tables[MAP.name] = pa.table({"record_id": ["a", "b"], "customer_id": anchors})
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "p.duckdb", "1GB")
    for name, table in tables.items():
        warehouse.replace_table("identity", name, table)
    resolve(warehouse)
    found = warehouse.query(f"select event, rule from {CHANGES.address}").to_pylist()
    assert found == [{"event": "merge", "rule": "same_email"}]
