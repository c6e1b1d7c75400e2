"""A scope in parts: who must be together is, and all of it is what it was in one piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp_assets.identity.parts import read_in_parts
from cdp_assets.identity.resolve import resolve
from cdp_assets.identity.scope import Scope, is_larger_than, number_records
from cdp_assets.resources.warehouse import DuckDBWarehouse, Statements
from tests.unit.identity.left_by_models import LINKS, RECORDS, candidate, put

pytestmark = pytest.mark.duckdb


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "p.duckdb", "1GB")
    put(warehouse)
    return warehouse


@pytest.fixture
def session(warehouse: DuckDBWarehouse) -> Iterator[Statements]:
    with warehouse.session() as session:
        yield session


def part_of(parts: list[Scope], record: str) -> int:
    [place] = [
        place
        for place, part in enumerate(parts)
        if record in part.records["record_id"].to_pylist()
        or record in part.vanished["record_id"].to_pylist()
    ]
    return place


def test_a_resolution_in_parts_writes_what_one_in_memory_writes(warehouse: DuckDBWarehouse):
    at_once = resolve(warehouse)
    written = candidate(warehouse)
    assert all(written)
    for rows_in_memory in (0, 3, 9):
        in_parts = resolve(warehouse, rows_in_memory=rows_in_memory)
        assert candidate(warehouse) == written
        assert (in_parts.records, in_parts.refused) == (at_once.records, at_once.refused)
        assert in_parts.clusters.tolist() == at_once.clusters.tolist()


def test_a_scope_is_large_by_its_records_or_by_its_links(session: Statements):
    number_records(session)
    assert is_larger_than(session, len(RECORDS) - 1)
    assert not is_larger_than(session, len(RECORDS))
    session.execute("delete from identity.identity_edges")
    assert len(LINKS) < len(RECORDS)
    for _ in range(4):
        session.execute(
            "insert into identity.identity_edges select 'a', 'b', 2, 0.9, timestamp '2025-01-01',"
            " 'same_email', '1' from identity.identity_records"
        )
    assert is_larger_than(session, 39)
    assert not is_larger_than(session, 40)


def test_a_part_has_whole_families_and_each_record_is_in_one_part(session: Statements):
    parts = list(read_in_parts(session, number_records(session), rows=1))
    assert len(parts) == len(RECORDS)
    records = [record for part in parts for record in part.records["record_id"].to_pylist()]
    assert sorted(records) == list(RECORDS)
    for left, right in LINKS:
        assert part_of(parts, left) == part_of(parts, right)
    # A customer of two records; an anchor and its former customer; one that is gone, and its heirs.
    for left, right in ("hc", "ij", ("gone", "d")):
        assert part_of(parts, left) == part_of(parts, right)
    assert len({part_of(parts, record) for record in RECORDS}) > 1


def test_the_records_of_a_part_are_numbered_without_gaps(session: Statements):
    for part in read_in_parts(session, number_records(session), rows=3):
        count = len(part.records)
        assert sorted(part.records["number"].to_pylist()) == list(range(count))
        for table in (part.links, part.scores):
            assert set(table["left"].to_pylist()) | set(table["right"].to_pylist()) <= set(
                range(count)
            )


def test_a_score_between_two_parts_counts_for_nothing(session: Statements):
    parts = list(read_in_parts(session, number_records(session), rows=1))
    assert sum(len(part.scores) for part in parts) == 1 + (
        part_of(parts, "a") == part_of(parts, "j")
    )
