"""Which tests share a worker: those of one file. The long ones begin first.

Also here: the small company and the home that it was loaded into, which several folders read.
"""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.homes import BIN, SEED, Home, new_home

if TYPE_CHECKING:
    from tests.athena_local.server import LocalAthena


# Few tests of minutes each.
_LONGEST = {("pipeline", "test_doctor.py"), ("faults", "test_orchestrator.py")}


# First, as the workers read the groups when they collect: later, none was heeded.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    in_file = Counter(item.path for item in items)
    items.sort(key=lambda item: (_turn(item), -in_file[item.path]))
    for item in items:
        folder = item.path.parent.name
        group = folder if folder == "browser" else str(item.path.relative_to(item.config.rootpath))
        item.add_marker(pytest.mark.xdist_group(group))


def _turn(item: pytest.Item) -> int:
    """The folders with long files first, and small ones in the end, when a worker may run dry.

    One worker loads the company that most of pipeline/ waits for, while another is at dbt/.
    """
    folder, file = item.path.parent.name, item.path.name
    if (folder, file) in _LONGEST:
        return 0
    return {"dbt": 1, "pipeline": 2}.get(folder, 3)


@pytest.fixture(scope="session")
def athena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAthena]:
    """Moto and the server on free ports of 127.0.0.1, and the environment that leads there.

    One for all folders, since there is one environment.
    """
    # Imported here: most workers never ask it.
    from tests.athena_local.server import running

    with running(tmp_path_factory.mktemp("athena")) as started, pytest.MonkeyPatch.context() as env:
        for name, value in started.environment.items():
            env.setenv(name, value)
        yield started


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The landing folder and ground truth of a tiny company; copied, never changed."""
    # Imported here, and below: most workers never ask it.
    from cdp_assets.sample.generate import SampleSize, generate

    folder = tmp_path_factory.mktemp("sample")
    generate(folder / "landing", folder / "truth.parquet", SampleSize.tiny(), seed=SEED)
    return folder


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory, sample: Path, worker_id: str) -> Home:
    """The company after a backfill over all its days, by Dagster's own command line.

    Tests read it and leave it as it is.
    """
    from cdp_assets.naming import IDENTITY, TRAINED_MODEL

    base = tmp_path_factory.getbasetemp()
    # Workers' folders lie side by side: the first to come runs it, and the others wait.
    path = (base if worker_id == "master" else base.parent) / "loaded"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = path.with_suffix(".done")
        if not done.exists():
            home = new_home(path, sample)
            days = sorted({day.name[3:] for day in home.landing.glob("*/*/dt=*")})
            home.command(
                str(BIN / "dagster"), "asset", "materialize", "-m", "cdp_assets.definitions",
                "--select", f'not key:"{IDENTITY}/{TRAINED_MODEL}"',
                "--partition-range", f"{days[0]}...{days[-1]}",
            )  # fmt: skip
            done.touch()
    return Home(path)
