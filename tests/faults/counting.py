"""How many faults the tests put in, for `make test-faults` to add up.

Each test that loops tells what it did; nothing is kept without `--fault-counts`, or FAULT_COUNTS
where pytest is not told of this folder.
"""

from __future__ import annotations

import json
from pathlib import Path

_paths: list[Path] = []


def keep_in(path: str | None) -> None:
    """Keep counts in this file from now on, a line of JSON each; without a path nowhere."""
    _paths[:] = [Path(path)] if path else []


def count(kind: str, n: int) -> None:
    """Tell that so many more of a kind were done."""
    for path in _paths:
        # One short line is written at once, whichever worker of xdist writes beside this one.
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "n": n}) + "\n")
