"""Connected components and customer ids in the words of Athena, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from cdp_assets.identity.stable_ids import customer_id, customer_id_sql
from cdp_assets.resources.build import build_athena
from cdp_assets.resources.warehouse import Statements
from cdp_assets.settings import load_settings
from tests.athena_local.server import LocalAthena
from tests.unit.identity.graphs import SHAPES, as_groups, find, in_memory

pytestmark = pytest.mark.athena


@pytest.fixture
def session(athena: LocalAthena) -> Iterator[Statements]:
    with build_athena(load_settings(athena.of_tenant())).session() as session:
        yield session


@pytest.mark.parametrize("shape", SHAPES)
def test_athena_finds_the_components_that_memory_finds(shape: str, session: Statements):
    count, pairs = SHAPES[shape]
    found = find(session, count, pairs, largest_in_memory=100 if count > 1_000 else 0)
    assert as_groups(found.labels) == as_groups(in_memory(count, pairs))


def test_athena_makes_the_customer_ids_that_python_makes(session: Statements):
    record_id = "crm:contact:Zoë"
    sql = f"select {customer_id_sql('record_id')} as id, 'sha256_hex(x)' as text from records"
    rows = session.query(sql, {"records": pa.table({"record_id": [record_id]})}).to_pylist()
    assert rows == [{"id": customer_id(record_id), "text": "sha256_hex(x)"}]
