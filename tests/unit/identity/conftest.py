"""A published version to read, on each engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.identity.published import Published


@pytest.fixture(
    params=[
        pytest.param("duckdb", marks=pytest.mark.duckdb),
        pytest.param("athena", marks=pytest.mark.athena),
    ]
)
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Published:
    """A version without records."""
    on_athena = request.getfixturevalue("athena") if request.param == "athena" else None
    return Published(tmp_path / "home", on_athena)
