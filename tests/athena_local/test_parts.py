"""A resolution in parts, in the words of Athena."""

from __future__ import annotations

import uuid

import pytest

from cdp_assets.identity.resolve import resolve
from cdp_assets.resources.build import build_athena
from cdp_assets.settings import load_settings
from tests.athena_local.server import REGION, LocalAthena
from tests.unit.identity.left_by_models import candidate, put

pytestmark = pytest.mark.athena


def test_a_resolution_in_parts_writes_what_one_in_memory_writes(athena: LocalAthena):
    tenant = f"t{uuid.uuid4().hex[:8]}"
    environment = {
        "CDP_PROFILE": "aws",
        "CDP_TENANT": tenant,
        "CDP_LAKE_URL": f"{athena.lake}/{tenant}",
        "AWS_REGION": REGION,
        **athena.environment,
    }
    warehouse = build_athena(load_settings(environment))
    put(warehouse)
    resolve(warehouse)
    at_once = candidate(warehouse)
    resolve(warehouse, rows_in_memory=3)
    assert candidate(warehouse) == at_once
    assert all(at_once)
