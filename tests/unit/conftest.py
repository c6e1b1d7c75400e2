"""What tests of several folders here share."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's storage, in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
