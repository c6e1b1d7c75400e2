"""The whole fault matrix, and what it came to: `make test-faults`.

Not here: the kills, the shuffles and the tests themselves; the page about them (`document.py`).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.faults.catalogue import FAULTS
from tests.faults.document import marks
from tests.faults.kills import prepare, run_kills
from tests.faults.shuffles import Recorded, record, run_shuffles
from tests.homes import WITHOUT_DBT_TESTS

# What the matrix has to have tried at least, so that nobody shrinks it unseen.
_KILLS = 150
_SHUFFLES = 200
_ROOM_BYTES = 8_000_000_000
# More at a time than there are cores make each other slower than they are fast.
_WORKERS = min(max(os.cpu_count() or 2, 2), 8)
_KILLS_OF_CI = (
    "tests/faults/test_kills.py"
    "::test_an_extract_that_is_killed_and_run_again_ends_as_if_nothing_had_been"
)


def main() -> None:
    """Kill, break and shuffle; print counts; exit with 1 where something was lost or doubled."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cdp-faults-", dir=_ram_disk()) as name:
        folder = Path(name)
        base, recorded = _prepared(folder)
        report = run_kills(folder, *base, quick=False, workers=_WORKERS)
        for fault in report.faults:
            _say(f"! {fault}")
        _say(
            f"kills: {len(report.tried)} tried and retried, {len(report.unreached)} not reached,"
            f" {len(report.faults)} faults, slowest recovery {report.slowest:.1f} s;"
            f" {time.monotonic() - started:.0f} s so far"
        )
        wrong = run_shuffles(folder / "shuffles", recorded, range(_SHUFFLES), _WORKERS)
        for sentence in wrong:
            _say(f"! {sentence}")
        _say(
            f"shuffles: {_SHUFFLES} tried, {len(wrong)} differ;"
            f" {time.monotonic() - started:.0f} s so far"
        )
        counts = folder / "counts.jsonl"
        tests = _pytest(counts)
        tried: Counter[str] = Counter()
        for line in counts.read_text().splitlines() if counts.exists() else []:
            tried[json.loads(line)["kind"]] += json.loads(line)["n"]
        for kind, count in sorted(tried.items()):
            _say(f"{kind}: {count:,}")
    _say_covered()
    lost = len(report.faults) + len(wrong) + (tests != 0)
    too_few = len(report.tried) < _KILLS
    _say(f"{lost} lost or doubled, {time.monotonic() - started:.0f} s")
    sys.exit(1 if lost or too_few else 0)


def _prepared(folder: Path) -> tuple[tuple[Path, Path], Recorded]:
    """What the kills and the shuffles begin with, side by side: neither keeps two cores busy."""
    (folder / "shuffles").mkdir()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        recording = pool.submit(record, folder / "shuffles")
        return prepare(folder), recording.result()


def _ram_disk() -> Path | None:
    """Where there is one with room: thousands of homes are written and removed, none is to stay."""
    path = Path("/dev/shm")
    return path if path.is_dir() and shutil.disk_usage(path).free > _ROOM_BYTES else None


def _pytest(counts: Path) -> int:
    """Run the tests of faults, the long ones too, but for the few kills and shuffles of CI."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/faults", "--fault-counts", str(counts)]
    command += ["-m", "faults or not slow", "--numprocesses", str(_WORKERS), "--dist", "loadgroup"]
    command += ["--no-loadscope-reorder", "--durations", "8", "--deselect", _KILLS_OF_CI]
    command += ["--basetemp", str(counts.parent / "tests")]
    return subprocess.run(command, env=os.environ | WITHOUT_DBT_TESTS, check=False).returncode


def _say_covered() -> None:
    shown = marks()
    every = [fault for faults in FAULTS.values() for fault in faults]
    covered = [fault.number for fault in every if shown.get(fault.number)]
    _say(f"faults shown by a test: {len(covered)} of {len(every)}: {', '.join(sorted(covered))}")
    for fault in every:
        if fault.gap:
            _say(f"  {fault.number} {fault.what} {fault.gap}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
