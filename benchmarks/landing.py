"""What a tick of the landing sensor costs where a hundred thousand objects lie.

    python -m benchmarks.landing [--objects N]

Lands empty objects in a folder and takes whole rounds of ticks: with everything new, with one
object in a thousand new, and with nothing new. Not here: loading them; the time that S3 takes for a
page, of which a tick asks for 20 at most.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from cdp_assets.resources.object_ledger import SQLiteObjectLedger
from cdp_assets.resources.object_store import LocalObjectStore, ObjectStore
from cdp_assets.sensors.landing import Round, list_next
from cdp_assets.settings import Limits
from cdp_assets.sources.planner import Landing
from tests.unit.sensors.landed import CRM, settle, touch

_MIB: Final = 2**20
_PER_DAY: Final = 10_000


def main() -> None:
    """Land, take the rounds, print what each cost."""
    parser = argparse.ArgumentParser(description="Seconds and memory of a landing sensor's tick.")
    parser.add_argument("--objects", type=int, default=100_000)
    arguments = parser.parse_args()
    sys.stdout.write(
        f"{'round over ' + format(arguments.objects, ',') + ' objects':<34}{'ticks':>6}{'asked':>9}"
        f"{'slowest s':>11}{'all s':>8}{'peak MiB':>10}{'RSS MiB':>9}\n"
    )
    with tempfile.TemporaryDirectory(prefix="cdp-landing-") as folder:
        lake, ledger_path = Path(folder) / "lake", Path(folder) / "ledger.sqlite"
        keys = [
            f"landing/crm/contacts/dt=2026-{1 + n // _PER_DAY // 28:02}-"
            f"{1 + n // _PER_DAY % 28:02}/{n:07}.csv"
            for n in range(arguments.objects)
        ]
        touch(lake, keys)
        store, ledger = LocalObjectStore(lake), SQLiteObjectLedger(ledger_path)
        _round("everything new", store, ledger)
        new = frozenset(keys[::1_000])
        settle(ledger_path, (info for info in store.list("landing") if info.key not in new))
        _round("one in a thousand new", store, ledger)
        settle(ledger_path, (info for info in store.list("landing") if info.key in new))
        _round("nothing new", store, ledger)


def _round(name: str, store: ObjectStore, ledger: SQLiteObjectLedger) -> None:
    """Time one round; then take it again for its memory, which slows it down."""
    seconds, asked = [], 0
    for took, objects in _ticks(store, ledger):
        seconds.append(took)
        asked += objects
    tracemalloc.start()
    for _ in _ticks(store, ledger):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    resident = psutil.Process().memory_info().rss
    sys.stdout.write(
        f"{name:<34}{len(seconds):>6}{asked:>9,}{max(seconds):>11.2f}{sum(seconds):>8.2f}"
        f"{peak / _MIB:>10.1f}{resident / _MIB:>9.0f}\n"
    )
    sys.stdout.flush()


def _ticks(store: ObjectStore, ledger: SQLiteObjectLedger) -> Iterator[tuple[float, int]]:
    """Seconds of each tick of a round, and how many objects it asks for."""
    at = Round()
    while True:
        started = time.perf_counter()
        made, at = list_next("crm", at, Landing([CRM], store, ledger), ledger, Limits())
        yield time.perf_counter() - started, len(made.objects)
        if not at.after:
            return


if __name__ == "__main__":
    main()
