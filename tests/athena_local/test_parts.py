"""A resolution in parts, in the words of Athena."""

from __future__ import annotations

import pytest

from cdp_assets.identity.resolve import resolve
from cdp_assets.resources.build import build_athena
from cdp_assets.settings import load_settings
from tests.athena_local.server import LocalAthena
from tests.unit.identity.left_by_models import candidate, put

pytestmark = [pytest.mark.athena, pytest.mark.slow]


def test_a_resolution_in_parts_writes_what_one_in_memory_writes(athena: LocalAthena):
    warehouse = build_athena(load_settings(athena.of_tenant()))
    put(warehouse)
    resolve(warehouse)
    at_once = candidate(warehouse)
    resolve(warehouse, rows_in_memory=3)
    assert candidate(warehouse) == at_once
    assert all(at_once)
