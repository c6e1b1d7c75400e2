from __future__ import annotations

from pathlib import Path

import pytest

from cdp_assets.sample.generate import generate
from cdp_assets.sample.size import SampleSize
from tests.unit.sample.landed import Landed


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Landed:
    """The tiny company, landed once for all tests of this folder."""
    home: Path = tmp_path_factory.mktemp("tiny")
    report = generate(home / "landing", home / "truth.parquet", SampleSize.tiny())
    return Landed(home, report)
