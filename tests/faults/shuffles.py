"""Shuffles: the same objects in any order, number and packing give the same tables and ids.

    python -m tests.faults.shuffles [--cases N] [--first N]

A case lands the objects of a small company in several batches, out of order, some twice, cut up or
joined with others of their day, some wrong at first and overwritten later; after each batch the
platform runs. In the end every table of `cdp hash` equals that of one run in order. The Python
stages are the platform's own. Of dbt the statements are replayed that it was recorded to send in
a first run, in a later one and in a full refresh: they depend on the project and on how far a
table has got, which the replay asks again; two hundred cases of real dbt would take hours. Before
the cases a replay is compared with dbt.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from dbt.cli.main import dbtRunner

from cdp_assets.fingerprint import table_hashes
from cdp_assets.identity.apply import apply_assignments
from cdp_assets.identity.decisions import keep_decisions
from cdp_assets.identity.match_model import load_default
from cdp_assets.identity.model_files import use_model
from cdp_assets.identity.resolve import resolve
from cdp_assets.profile.publish import publish
from cdp_assets.resources.build import build_duckdb, build_ledger, build_object_store
from cdp_assets.sample.generate import SampleSize, generate
from cdp_assets.settings import (
    DBT_PROJECT_DIR,
    Settings,
    export_match_model,
    export_settings,
    load_settings,
)
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.extract import extract_days
from cdp_assets.sources.tables import refresh_source_tables
from cdp_assets.sources.validate import Session

SIZE: Final = SampleSize(
    people=25, crm_rows=30, events=150, days=3, object_rows=60, has_faults=False
)
_SEED: Final = 11
# The phases of a run between which Python works, as selections of dbt.
_PHASES: Final = ("config.schema:cleansed", "config.schema:identity", "config.schema:profile")

_COMMENT: Final = r"\s*(/\*.*?\*/)?\s*"
# What dbt asks, behind its comment, for itself; a replay has no use for the answer,
_ASKS: Final = re.compile(rf"{_COMMENT}(describe|select)\b", re.DOTALL | re.IGNORECASE)
# but for how far a table has got, which then stands in the statements of its model.
_ASKS_HOW_FAR: Final = re.compile(r"select coalesce\(max\(\w*load_id\), 0\)")
_VIEW: Final = re.compile(rf"{_COMMENT}create or replace view\b", re.DOTALL)
_HOW_FAR: Final = re.compile(r"(load_id > )\d+")

_GZIP: Final = b"\x1f\x8b"

Objects = Mapping[str, bytes]
# Models and their statements in order, by phase.
Sent = Sequence[tuple[str, str]]
Script = Sequence[Sent]


@dataclass(frozen=True)
class Scripts:
    """What dbt sends: in a first run, in one after it, and in a full refresh of what is there.

    Attributes:
        seeded: a warehouse file that holds the seeds alone.
    """

    seeded: Path
    first: Script
    later: Script
    anew: Script


@dataclass(frozen=True)
class Recorded:
    """What the cases need of real dbt.

    Attributes:
        objects: of the small company, by key.
        scripts: what dbt sent for them.
        hashes: of the tables that it made of them.
    """

    objects: Objects
    scripts: Scripts
    hashes: dict[str, str]


class Platform:
    """A home whose dbt is real and recorded, or replayed.

    Args:
        home: its folder.
        scripts: to replay; without them dbt itself runs.
    """

    def __init__(self, home: Path, scripts: Scripts | None = None) -> None:
        self.settings: Settings = load_settings({"CDP_HOME": str(home)})
        export_settings(self.settings)
        self._scripts = scripts
        # Making a view again that stays as it is costs as much as many a query.
        self._views: set[str] = set()
        self._warehouse = build_duckdb(self.settings)
        self._store = build_object_store(self.settings)
        self._ledger = build_ledger(self.settings)
        self._contracts = _contracts()
        self._model = _model()
        export_match_model(self._model.compact_json())
        with self._warehouse.connect():
            pass
        if scripts is not None:
            shutil.copyfile(scripts.seeded, self.settings.warehouse_path)

    def land(self, objects: Objects) -> None:
        """Write these objects into landing, over what is there."""
        for key, content in objects.items():
            self._store.write(f"landing/{key}", content)

    def run(self) -> Script:
        """Load what is new, through to published; gives what dbt sent."""
        # Held open: opening the file for each statement would be a third of the time. One thread,
        # as so few rows are not worth waking a second.
        with self._warehouse.connect() as held:
            held.execute("set threads = 1")
            return self._run()

    def _run(self) -> Script:
        contracts = self._contracts
        days = sorted({info.key.split("/")[3][3:] for info in self._store.list("landing")})
        for contract in contracts:
            extract_days(
                contract,
                days,
                store=self._store,
                ledger=self._ledger,
                settings=self.settings,
                session=_session(),
            )
        refresh_source_tables(contracts, self._warehouse, self._ledger, self._store)
        keep_decisions(self._warehouse, self._store)
        use_model(self._model, self._warehouse)
        is_first = ("profile", "customer_profiles") not in self._warehouse.tables()
        is_replaced = self._ledger.needs_full_refresh(self._ledger.published_load_id())
        sent = []
        for place, _ in enumerate(_PHASES):
            if place == len(_PHASES) - 1:
                resolve(self._warehouse)
                apply_assignments(self._warehouse, "run")
            sent.append(self._transform(place, is_first=is_first, is_replaced=is_replaced))
        publish(self._warehouse, self._ledger)
        return sent

    def checkpoint(self) -> None:
        """Make the warehouse's file hold all that was written."""
        with self._warehouse.connect() as connection:
            connection.execute("checkpoint")

    def hashes(self) -> dict[str, str]:
        """The hash of each published table."""
        with self._warehouse.read_published() as connection:
            return table_hashes(connection)

    def _transform(self, phase: int, *, is_first: bool, is_replaced: bool) -> Sent:
        if self._scripts is None:
            return dbt_run(_PHASES[phase], *(["--full-refresh"] if is_replaced else []))
        scripts = self._scripts
        script = scripts.first if is_first else scripts.anew if is_replaced else scripts.later
        with self._warehouse.connect() as connection:
            how_far: dict[str, list[str]] = defaultdict(list)
            for model, statement in script[phase]:
                if statement in self._views:
                    continue
                if _VIEW.match(statement):
                    self._views.add(statement)
                # One answer for each number, in the order in which dbt came to them.
                count = len(_HOW_FAR.findall(statement))
                answers = iter(how_far[model][-count:])
                found = connection.execute(
                    _HOW_FAR.sub(lambda match, left=answers: match[1] + next(left), statement)
                )
                if _ASKS_HOW_FAR.search(statement):
                    how_far[model].append(str(found.fetchall()[0][0]))
        return script[phase]


# Read and planned once per process, and not for each of two hundred cases.
_contracts: Final = cache(lambda: list(load_contracts().values()))
_model: Final = cache(load_default)
_session: Final = cache(Session)


def dbt_run(selection: str, *more: str) -> Sent:
    """Run models with dbt in this process; gives the statements it sent for them."""
    sent: list[tuple[str, str]] = []

    def record(event: Any) -> None:
        is_of_model = (
            event.info.name == "SQLQuery" and event.data.node_info.resource_type == "model"
        )
        if not is_of_model:
            return
        sql = event.data.sql
        if _ASKS_HOW_FAR.search(sql) or not _ASKS.match(sql):
            sent.append((event.data.node_info.unique_id, sql))

    _dbt("run", "--select", selection, *more, record=record)
    return sent


def _dbt(*arguments: str, record: Any = None) -> None:
    target = os.environ["DBT_TARGET_PATH"]
    project = ["--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)]
    result = dbtRunner(callbacks=[record] if record else []).invoke(
        ["--quiet", "--log-level-file", "none", *arguments, *project, "--target-path", target]
    )
    results: Any = result.result
    assert result.success, result.exception or [
        one.message for one in results if one.status not in ("success", "pass")
    ]


def company() -> Objects:
    """The landing objects of a small company, without the broken ones."""
    with tempfile.TemporaryDirectory() as folder:
        landing = Path(folder) / "landing"
        generate(landing, Path(folder) / "truth.parquet", SIZE, seed=_SEED)
        return {
            path.relative_to(landing).as_posix(): path.read_bytes()
            for path in sorted(landing.rglob("dt=*/*"))
        }


def record(folder: Path) -> Recorded:
    """Let real dbt run three times over a small company, and write down what it sends."""
    objects = company()
    platform = Platform(folder / "recorded")
    _dbt("seed")
    seeded = folder / "seeded.duckdb"
    platform.checkpoint()
    shutil.copyfile(platform.settings.warehouse_path, seeded)
    days = sorted({key.split("/")[2] for key in objects})
    platform.land({key: content for key, content in objects.items() if days[0] in key})
    first = platform.run()
    platform.land(objects)
    # Landing again what is there makes new versions of it: a full refresh.
    anew = platform.run()
    key, content = next(iter(objects.items()))
    platform.land({f"{key}-again": content})
    later = platform.run()
    return Recorded(objects, Scripts(seeded, first, later, anew), platform.hashes())


def batches(objects: Objects, chance: random.Random) -> Iterator[Objects]:
    """Some way for these objects to arrive: some batches, each of which is followed by a run."""
    packed = _repacked(objects, chance)
    keys = list(packed)
    chance.shuffle(keys)
    arriving: list[list[tuple[str, bytes]]] = [[] for _ in range(chance.randint(1, 3))]
    for key in keys:
        content, place = packed[key], chance.randrange(len(arriving))
        arriving[place].append((key, content))
        if chance.random() < 0.2:
            again = "/again-".join(key.rsplit("/", 1))
            chance.choice(arriving).append((again, content))
        if chance.random() < 0.03:
            # Wrong at first: another object of its kind, which it is overwritten by later.
            earlier = chance.randrange(place + 1)
            arriving[earlier].insert(0, (key, _cut(key, content, 0.5)[0]))
    for some in arriving:
        yield dict(some)


def _repacked(objects: Objects, chance: random.Random) -> dict[str, bytes]:
    """Some objects cut in two."""
    packed: dict[str, bytes] = {}
    for key, content in objects.items():
        if chance.random() < 0.3:
            packed[key], rest = _cut(key, content, chance.random())
            packed["/rest-".join(key.rsplit("/", 1))] = rest
        else:
            packed[key] = content
    return packed


def _cut(key: str, content: bytes, share: float) -> tuple[bytes, bytes]:
    """An object as two of its kind, the first of which has this share of the records."""
    if key.endswith(".parquet"):
        rows = pq.read_table(pa.BufferReader(content))
        at = int(len(rows) * share)
        return _parquet(rows.slice(0, at)), _parquet(rows.slice(at))
    if content.startswith(_GZIP):
        first, second = _cut(key, gzip.decompress(content), share)
        return gzip.compress(first, mtime=0), gzip.compress(second, mtime=0)
    header, records = _records(key, content)
    at = int(len(records) * share)
    return header + b"".join(records[:at]), header + b"".join(records[at:])


def _records(key: str, content: bytes) -> tuple[bytes, list[bytes]]:
    """The header, which CSV alone has, and the records as they stand in an object."""
    lines = content.splitlines(keepends=True)
    if not key.endswith(".csv"):
        return b"", lines
    records = [b""]
    for line in lines:
        # A line break between quotes is part of a value.
        if records[-1].count(b'"') % 2 == 0:
            records.append(b"")
        records[-1] += line
    return records[1], records[2:]


def _parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return sink.getvalue().to_pybytes()


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The tables that are not equal."""
    names = sorted(expected.keys() | found.keys())
    return [name for name in names if expected.get(name) != found.get(name)]


def run_in_order(folder: Path, scripts: Scripts, objects: Objects) -> dict[str, str]:
    """One run over all these objects; the hashes in the end."""
    platform = Platform(folder, scripts)
    platform.land(objects)
    platform.run()
    return platform.hashes()


def run_case(folder: Path, scripts: Scripts, objects: Objects, case: int) -> dict[str, str]:
    """Let the objects arrive in the way that a number stands for; the hashes in the end."""
    platform = Platform(folder / f"case{case}", scripts)
    try:
        for batch in batches(objects, random.Random(case)):
            platform.land(batch)
            platform.run()
        return platform.hashes()
    finally:
        shutil.rmtree(platform.settings.home)


def run_shuffles(
    folder: Path, recorded: Recorded, cases: Sequence[int], workers: int = 2
) -> list[str]:
    """Try these cases; a sentence for each that differs.

    Raises:
        AssertionError: a replay is not what dbt gives, or an object less is not seen.
    """
    objects, scripts = recorded.objects, recorded.scripts
    expected = run_in_order(folder / "whole", scripts, objects)
    assert differences(recorded.hashes, expected) == []
    fewer = dict(list(objects.items())[1:])
    assert differences(expected, run_in_order(folder / "fewer", scripts, fewer))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        found = pool.map(partial(run_case, folder, scripts, objects), cases)
        wrong = [differences(expected, hashes) for hashes in found]
    return [
        f"case {case}: {', '.join(tables)} differ"
        for case, tables in zip(cases, wrong, strict=True)
        if tables
    ]


def main() -> None:
    """Try so many cases, and exit with 1 where one differs."""
    parser = argparse.ArgumentParser(description="Any order, number and packing of the objects.")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    arguments = parser.parse_args()
    started = time.monotonic()
    cases = range(arguments.first, arguments.first + arguments.cases)
    with tempfile.TemporaryDirectory(prefix="cdp-shuffles-") as folder:
        wrong = run_shuffles(Path(folder), record(Path(folder)), cases)
    for sentence in wrong:
        sys.stdout.write(f"! {sentence}\n")
    sys.stdout.write(
        f"{len(cases)} shuffles, {len(wrong)} differ, {time.monotonic() - started:.0f} s\n"
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
