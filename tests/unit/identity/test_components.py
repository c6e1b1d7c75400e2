"""Which records hang together: the warehouse finds what memory finds, in few rounds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp_assets.identity.components import components_in_warehouse
from cdp_assets.identity.stable_ids import customer_id, customer_id_sql
from cdp_assets.resources.warehouse import DuckDBWarehouse, Statements
from tests.unit.identity.graphs import LONG, SHAPES, as_groups, find, in_memory

pytestmark = pytest.mark.duckdb


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Statements]:
    with DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "p.duckdb", "1GB").session() as session:
        yield session


@pytest.mark.parametrize("shape", SHAPES)
def test_the_warehouse_finds_the_components_that_memory_finds(shape: str, session: Statements):
    count, pairs = SHAPES[shape]
    found = find(session, count, pairs)
    assert as_groups(found.labels) == as_groups(in_memory(count, pairs))


@pytest.mark.parametrize("shape", ["chain", "disjoint", "long_chain"])
def test_what_is_left_may_be_found_in_memory(shape: str, session: Statements):
    count, pairs = SHAPES[shape]
    found = find(session, count, pairs, largest_in_memory=max(len(pairs) // 3, 2))
    assert as_groups(found.labels) == as_groups(in_memory(count, pairs))


@pytest.mark.parametrize("shape", ["long_chain", "long_chain_in_no_order"])
def test_a_long_chain_takes_few_rounds(shape: str, session: Statements):
    # A round that leaves three quarters of 10,000 records 32 times leaves one.
    assert find(session, *SHAPES[shape]).rounds <= 32
    assert find(session, *SHAPES[shape], largest_in_memory=LONG).rounds == 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60),
    largest_in_memory=st.sampled_from([0, 0, 5]),
)
def test_any_pairs_give_the_same_components_in_both_ways(
    pairs: list[tuple[int, int]], largest_in_memory: int, session: Statements
):
    found = find(session, 30, pairs, largest_in_memory)
    assert as_groups(found.labels) == as_groups(in_memory(30, pairs))


def test_a_session_leaves_one_table(session: Statements):
    count, pairs = SHAPES["chain"]
    find(session, count, pairs)
    tables = session.query(
        "select table_name from information_schema.tables where table_type = 'LOCAL TEMPORARY'"
    )
    assert tables["table_name"].to_pylist() == []


def test_record_numbers_may_be_as_large_as_they_come(session: Statements):
    largest = 2**31 - 2
    session.execute(
        'create temporary table pairs as select 0 as "left", 2147483646 as "right"'
        " union all select 2147483645, 2147483646"
    )
    components_in_warehouse(session, "select * from pairs", "found")
    rows = session.query("select number, component from found").to_pydict()
    assert sorted(rows["number"]) == [0, largest - 1, largest]
    assert len(set(rows["component"])) == 1


def test_sql_makes_the_customer_ids_that_python_makes(session: Statements):
    record_id = "crm:contact:Zoë"
    sql = f"select {customer_id_sql('record_id')} as id, sha256_hex(record_id) as hash from given"
    session.execute(
        "create temporary table given as select record_id from records",
        inputs={"records": pa.table({"record_id": [record_id]})},
    )
    row = session.query(sql).to_pylist()[0]
    assert row["id"] == customer_id(record_id)
    assert row["hash"] == hashlib.sha256(record_id.encode()).hexdigest()
