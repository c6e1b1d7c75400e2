"""Objects of a gigabyte are loaded, by a process of its own whose memory is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.sources.conftest import DAY, event, json_lines

pytestmark = [pytest.mark.slow, pytest.mark.fault("F14")]

GIGABYTE = 1 << 30
ENDLESS = 300 * (1 << 20)
MOST_MEMORY = 2 * GIGABYTE

_EXTRACT = """
import json, resource, sys
from dataclasses import replace
from cdp_assets.resources.build import build_ledger, build_object_store
from cdp_assets.settings import load_settings
from cdp_assets.sources.contracts import contract_of
from cdp_assets.sources.extract import extract_days

settings = load_settings()
web = contract_of("web", "events")
ledger = build_ledger(settings)
extract_days(
    replace(web, format=replace(web.format, compression="none")), [sys.argv[1]],
    store=build_object_store(settings), ledger=ledger, settings=settings,
)
[row] = ledger.rows().to_pylist()
print(json.dumps({
    "in": row["records_in"], "loaded": row["records_loaded"],
    "quarantined": row["records_quarantined"],
    "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


def test_a_gigabyte_with_an_endless_line_in_it_is_loaded_in_bounded_memory(tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "landing" / "web" / "events" / f"dt={DAY}"
    folder.mkdir(parents=True)
    count = 0
    with (folder / "large.json").open("wb") as file:
        for until in (GIGABYTE // 2, GIGABYTE):
            while file.tell() < until:
                many = range(count, count + 10_000)
                file.write(json_lines(*(event(number, event="x" * 500) for number in many)))
                count += len(many)
            if until < GIGABYTE:
                file.write(b"x" * ENDLESS + b"\n")
    done = subprocess.run(
        [sys.executable, "-c", _EXTRACT, DAY],
        env=os.environ | {"CDP_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert (found["loaded"], found["quarantined"], found["in"]) == (count, 1, count + 1)
    assert found["memory"] < MOST_MEMORY
