"""Readers of the published version while runs publish: always a whole one, in nobody's way."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pytest

from cdp_assets.naming import CLEANSED, PROFILE
from cdp_assets.resources.warehouse import DuckDBWarehouse

VERSIONS = 8
READERS = 2


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(tmp_path / "cdp.duckdb", tmp_path / "published.duckdb", "1GB")


def _build(warehouse: DuckDBWarehouse, version: int) -> None:
    """Two tables of which each says which version it is of, one after the other."""
    rows = pa.table({"version": [version] * 5_000})
    warehouse.replace_table(CLEANSED, "first", rows)
    warehouse.replace_table(PROFILE, "last", rows)


@pytest.mark.fault("F31")
def test_readers_see_whole_versions_that_never_go_back_while_others_are_built(warehouse):
    _build(warehouse, 0)
    warehouse.publish()
    stop, seen = threading.Event(), [[] for _ in range(READERS)]

    def read(found: list[tuple[int, int, int]]) -> None:
        while not stop.is_set():
            with warehouse.published() as reader:
                first, last = (
                    reader.query(f"select min(version) as a, max(version) as b from {table}")
                    for table in ("cleansed.first", "profile.last")
                )
            versions = {value for row in (first, last) for value in row.to_pylist()[0].values()}
            found.append((len(versions), min(versions), max(versions)))

    readers = [threading.Thread(target=read, args=(found,)) for found in seen]
    for reader in readers:
        reader.start()
    try:
        for version in range(1, VERSIONS):
            # Were a reader able to hold the build up, this would raise or wait for ever.
            _build(warehouse, version)
            warehouse.publish()
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    for found in seen:
        assert found
        assert {count for count, _, _ in found} == {1}
        assert [version for _, version, _ in found] == sorted(version for _, version, _ in found)


@pytest.mark.fault("F31")
def test_a_reader_keeps_the_version_that_it_opened(warehouse):
    _build(warehouse, 1)
    warehouse.publish()
    with warehouse.published() as reader:
        _build(warehouse, 2)
        warehouse.publish()
        rows = reader.query("select distinct version from profile.last")
        assert rows["version"].to_pylist() == [1]
