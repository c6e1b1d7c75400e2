"""However the objects arrive, the tables and the ids are the same."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.shuffles import record, run_shuffles
from tests.homes import new_home


@pytest.mark.slow
@pytest.mark.fault("F05", "F06", "F07", "F22")
def test_objects_in_any_order_number_and_packing_give_the_same_tables_and_ids(tmp_path):
    assert run_shuffles(tmp_path, record(tmp_path), range(3)) == []


@pytest.mark.slow
@pytest.mark.fault("F22")
def test_days_landing_in_shuffled_order_with_every_object_twice_give_the_hash_of_a_backfill(
    loaded, sample, tmp_path
):
    home = new_home(tmp_path / "home", sample, landed=False)
    days = sorted({path.parent.name for path in sample.glob("landing/*/*/dt=*/*")})
    random.Random(5).shuffle(days)
    half = len(days) // 2
    for batch in (days[:half], days[half:]):
        for day in batch:
            _land_twice(sample / "landing", home.landing, day)
        home.cdp("run")
    assert home.hashes() == loaded.hashes()


def _land_twice(source: Path, landing: Path, day: str) -> None:
    """Deliver the objects of a day, and each of them again under another key."""
    for path in sorted(source.glob(f"*/*/{day}/*")):
        target = landing / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        shutil.copyfile(path, target.with_name(f"again-{path.name}"))
