"""A small company, loaded once per session by the real command line into a folder of its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdp_assets.naming import IDENTITY, TRAINED_MODEL
from cdp_assets.sample.generate import SampleSize, generate

BIN = Path(sys.executable).parent
SEED = 11


@dataclass(frozen=True)
class Home:
    """One CDP_HOME and the commands that run in it."""

    path: Path

    @property
    def landing(self) -> Path:
        return self.path / "lake" / "landing"

    @property
    def published(self) -> Path:
        return self.path / "warehouse" / "published.duckdb"

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        # Settings that a test of this process exported must not leak into another home.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CDP_", "DBT_", "DAGSTER_"))
        }
        done = subprocess.run(
            arguments,
            env={**inherited, "CDP_HOME": str(self.path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{arguments} exited {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def cdp(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.command(str(BIN / "cdp"), *arguments, check=check)

    def copy(self, path: Path) -> Home:
        """The same home elsewhere, to change it."""
        # What SQLite keeps beside an open file comes and goes while other tests read.
        shutil.copytree(self.path, path, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
        return Home(path)

    def hashes(self) -> dict[str, str]:
        lines = self.cdp("hash", "--tables").stdout.splitlines()
        return {name: value for value, name in (line.split(maxsplit=1) for line in lines)}


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The landing folder and ground truth of a tiny company; copied, never changed."""
    folder = tmp_path_factory.mktemp("sample")
    generate(folder / "landing", folder / "truth.parquet", SampleSize.tiny(), seed=SEED)
    return folder


def new_home(path: Path, sample: Path, *, landed: bool = True) -> Home:
    """A home with the sample's truth, and with its objects in landing if `landed`."""
    home = Home(path)
    (path / "sample").mkdir(parents=True)
    shutil.copyfile(sample / "truth.parquet", path / "sample" / "truth.parquet")
    if landed:
        shutil.copytree(sample / "landing", home.landing)
    return home


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory, sample: Path, worker_id: str) -> Home:
    """The company after a backfill over all its days, by Dagster's own command line.

    Tests read it and leave it as it is.
    """
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
