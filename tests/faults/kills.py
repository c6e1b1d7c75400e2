"""Kills: a step of a real run is killed at a fail-point, run again, and must end as if nothing was.

    python -m tests.faults.kills [--quick] [--only STEP]

Per step of the graph: the home is set back to what it was before the step, the run is killed with
SIGKILL at a fail-point, its retry at another, and so on up to eight times; the last retry is left
alone. Then every table, the ledger, the profile store and the published version have to equal
those of the undisturbed run, with no scratch file left. Each run is a process of its own, forked
from one that has loaded the graph, and so is its dbt (`warm_dbt.py`): loading takes longer than
most steps. Not here: the points (`cdp_assets.failpoints`), Athena (tests/athena_local/parity.py).
"""

from __future__ import annotations

import argparse
import gc
import importlib
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import dagster as dg
import duckdb

from cdp_assets import failpoints
from cdp_assets.dbt.project import build_dbt_resource, prepared_project
from cdp_assets.fingerprint import DELIVERY_COLUMNS
from cdp_assets.graph import build_defs
from cdp_assets.identity.tables import APPLIED
from cdp_assets.local import claim_home, dagster_instance, prepare_home, reconcile_orphans
from cdp_assets.naming import ACTIVATION, CLEANSED, IDENTITY, PROFILE, TRAINED_MODEL, asset_key
from cdp_assets.resources.build import (
    build_duckdb,
    build_ledger,
    build_object_store,
    build_profile_store,
)
from cdp_assets.sample.generate import SampleSize, generate
from cdp_assets.sensors.landing import partition_range_tags
from cdp_assets.settings import Settings, export_settings, load_settings
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.tables import refresh_source_tables
from tests.faults import warm_dbt
from tests.homes import WITHOUT_DBT_TESTS

# A company small enough that a step is quick and large enough that each table has rows.
SIZE: Final = SampleSize(people=120, crm_rows=150, events=1_500, days=4, object_rows=100)
_SEED: Final = 11
_CHAIN: Final = 8
# When a run was and what it was called, which is its own.
_OF_THE_RUN: Final = frozenset(
    {"_loaded_at", "attempt", "load_id", "loaded_at", "occurred_at", "object_version", "run_id"}
    | {"since_load_id", "valid_from", "valid_to", "block_number"}
)

# dbt's tests write nothing, so killing them would show nothing; they take a third of its time, and
# what it writes about itself takes another fifth.
_BRIEF_DBT: Final = {
    **WITHOUT_DBT_TESTS,
    "DBT_WRITE_JSON": "false",
    "DBT_LOG_LEVEL_FILE": "none",
}

# Their rows of changed records stay, retired, until the customer map has followed, once more for
# each run that failed.
_RETIRING: Final = frozenset(
    f"identity.{name}" for name in ("identifiers", "match_keys", "match_records", "touched_keys")
)


@dataclass(frozen=True)
class Step:
    """Some assets that are run and killed together.

    Attributes:
        name: for people.
        selection: the assets.
        then: assets that are run after them before the outcome is looked at once more.
    """

    name: str
    selection: dg.AssetSelection
    then: dg.AssetSelection | None = None


@dataclass(frozen=True)
class Kill:
    """One point of one step, to be reached for the `hit`th time."""

    step: str
    point: str
    hit: int

    @property
    def is_of_dbt(self) -> bool:
        """Whether dbt is killed, and not the run that waits for it."""
        return self.point.startswith("dbt.") and self.point != "dbt.event"

    def __str__(self) -> str:
        return f"{self.step} at {self.point}#{self.hit}"


@dataclass
class Report:
    """What came of the kills.

    Attributes:
        tried: kills that killed, each retried and compared.
        unreached: points that were not reached this time; they count for nothing.
        faults: sentences about what was lost, doubled or left.
        slowest: seconds of the longest retry.
    """

    tried: list[Kill] = field(default_factory=list)
    unreached: list[Kill] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, other: Report) -> None:
        """Count what another process found."""
        self.tried += other.tried
        self.unreached += other.unreached
        self.faults += other.faults
        self.slowest = max(self.slowest, other.slowest)


def steps() -> list[Step]:
    """The graph in the order in which it runs."""
    decisions = _identity("identity_decisions")
    model = _identity("match_model", "match_term_frequencies")
    clusters = _identity("cluster_assignments")
    applied = _identity(*(table.name for table in APPLIED))
    published = dg.AssetSelection.assets(asset_key(PROFILE, "published_profiles"))
    matching = dg.AssetSelection.groups(IDENTITY) - clusters.downstream() - decisions - model
    matching -= _identity(TRAINED_MODEL)
    extracts = [
        Step(
            f"extract_{source}_{entity}",
            dg.AssetSelection.assets(["sources", f"raw_{source}__{entity}"]),
        )
        for source, entity in load_contracts()
    ]
    return [
        *extracts,
        Step("cleansed", dg.AssetSelection.groups(CLEANSED)),
        Step("identity_decisions", decisions),
        Step("match_model", model),
        # What it leaves retired must make no difference to the map.
        Step("matching", matching, then=clusters | applied),
        Step("cluster_assignments", clusters),
        Step("customer_map", applied),
        Step("profile", dg.AssetSelection.groups(PROFILE) - published),
        Step("published_profiles", published),
        Step("profile_store", dg.AssetSelection.groups(ACTIVATION)),
    ]


def _identity(*names: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(asset_key(IDENTITY, name) for name in names))


class Lab:
    """A home whose steps are run, killed and run again, each in a process of its own.

    Args:
        folder: for the home, which may be there already, and the copies of it.
        landing: objects of a company.
    """

    def __init__(self, folder: Path, landing: Path) -> None:
        self._home = folder / "home"
        self._before = folder / "before"
        self._log = folder / "log.txt"
        self._loaded = folder / "loaded.txt"
        self._settings = _settings_of(self._home)
        self._landing = landing
        self._days = sorted({day.name[3:] for day in landing.glob("*/*/dt=*")})
        prepare_home(self._settings)
        self.steps = steps()
        jobs = {f"try_{step.name}": step.selection for step in self.steps}
        jobs |= {f"after_{step.name}": step.then for step in self.steps if step.then}
        defined = [dg.define_asset_job(name, selection) for name, selection in jobs.items()]
        self._graph = dg.Definitions.merge(build_defs(self._settings), dg.Definitions(jobs=defined))
        project, target = prepared_project(self._settings), self._settings.dbt_target
        self._dbt = build_dbt_resource(project, target, warm_dbt.start(folder, project, target))

    def land(self, days: Sequence[str]) -> None:
        """Land the objects of these days."""
        for file in sorted(self._landing.rglob("*")):
            if file.is_file() and file.parent.name.removeprefix("dt=") in days:
                target = self._home / "lake" / "landing" / file.relative_to(self._landing)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)

    @property
    def days(self) -> Sequence[str]:
        """The landing days of the company."""
        return self._days

    def show_raw_files(self) -> None:
        """Make a copied home see its own raw files, as the first cleansing there would."""
        settings, contracts = self._settings, load_contracts().values()
        places = build_duckdb(settings), build_ledger(settings), build_object_store(settings)
        assert self._forked(lambda: refresh_source_tables(contracts, *places)) == 0, self.log()

    def keep(self) -> None:
        """Remember the home as it is."""
        shutil.rmtree(self._before, ignore_errors=True)
        shutil.copytree(self._home, self._before)

    def set_back(self) -> None:
        """Make the home what it was when it was kept."""
        shutil.rmtree(self._home)
        shutil.copytree(self._before, self._home)

    def run(self, name: str, failpoint: str = "") -> int:
        """Run a job in a process of its own; gives its exit code, negative for a signal."""
        job = self._graph.resolve_job_def(name)

        def work() -> None:
            os.environ["CDP_FAILPOINT"] = failpoint
            os.environ |= _BRIEF_DBT
            failpoints.arm(failpoint)
            with claim_home(self._settings, "a run"), dagster_instance(self._settings) as instance:
                reconcile_orphans(instance)
                result = job.execute_in_process(
                    instance=instance,
                    tags=partition_range_tags(self._days),
                    raise_on_error=False,
                    resources={"dbt": self._dbt},
                )
            self._loaded.write_text("\n".join(sys.modules))
            os._exit(0 if result.success else 1)

        ended = self._forked(work)
        self._load_what_it_loaded()
        return ended

    def _load_what_it_loaded(self) -> None:
        """Have the modules of a run that ended: half of what a short one does is loading them."""
        if self._loaded.exists():
            for name in self._loaded.read_text().splitlines():
                # Some are made by another module and cannot be found by name.
                with suppress(ImportError):
                    importlib.import_module(name)
            self._loaded.unlink()

    def recorded(self, name: str) -> Counter[str]:
        """Run a job undisturbed; how often each point was reached."""
        notes = self._home.parent / "notes.txt"
        notes.write_text("")
        assert self.run(name, f">{notes}") == 0, self.log()
        return Counter(notes.read_text().splitlines())

    def state(self) -> dict[str, str]:
        """What the home holds, in words that do not depend on when and how often it was run."""
        result = self._home.parent / "state.pickle"
        assert self._forked(lambda: result.write_bytes(pickle.dumps(_state(self._settings)))) == 0
        return pickle.loads(result.read_bytes())

    def outcome(self, step: Step) -> dict[str, str]:
        """What the home holds after a step, and after what is run then."""
        found = self.state()
        if step.then is not None:
            assert self.run(f"after_{step.name}") == 0, self.log()
            found |= {f"then {name}": text for name, text in self.state().items()}
        return found

    def scratch(self) -> list[str]:
        """Files that a killed process left half written."""
        ends = (".tmp", ".incoming", ".wal", "-journal")
        return [
            str(path.relative_to(self._home))
            for path in self._home.rglob("*")
            if path.name.endswith(ends) and path.is_file()
        ]

    def log(self) -> str:
        """The end of what the last run printed."""
        return self._log.read_text(errors="replace")[-4000:]

    def _forked(self, work: Callable[[], object]) -> int:
        # Whoever looks through what is loaded for what is not used makes a copy of it all.
        gc.freeze()
        child = os.fork()
        if child == 0:
            try:
                log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(log, 1)
                os.dup2(log, 2)
                work()
                os._exit(0)
            except BaseException:  # noqa: BLE001 (a forked process must never return)
                traceback.print_exc()
                os._exit(2)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _settings_of(home: Path) -> Settings:
    settings = load_settings({"CDP_HOME": str(home)})
    export_settings(settings)
    return settings


def _state(settings: Settings) -> dict[str, str]:
    found: dict[str, str] = {}
    warehouse = build_duckdb(settings)
    if settings.warehouse_path.exists():
        with warehouse.connect() as connection:
            contents = _contents(connection, ("BASE TABLE", "VIEW"))
            found |= {f"warehouse {name}": text for name, text in contents}
            found |= {f"view {name}": text for name, text in _views(connection)}
    if settings.published_path.exists():
        with warehouse.read_published() as connection:
            found |= {f"published {name}": text for name, text in _contents(connection)}
    ledger = build_ledger(settings).rows()
    own = [name for name in ledger.column_names if name not in _OF_THE_RUN]
    rows = sorted(str(row) for row in ledger.select(own).to_pylist())
    found["ledger"] = "\n".join(rows)
    held = build_profile_store(settings).held().to_pylist()
    found["profile store"] = "\n".join(sorted(str(row) for row in held))
    return found


def _contents(
    connection: duckdb.DuckDBPyConnection, kinds: Sequence[str] = ("BASE TABLE",)
) -> Iterator[tuple[str, str]]:
    """Each of these with its number of rows and their hash; of the views, those of raw files."""
    listed = connection.execute(
        """
        select table_schema || '.' || table_name, list(column_name order by column_name)
        from information_schema.columns
        inner join information_schema.tables using (table_catalog, table_schema, table_name)
        where
            list_contains(?, table_type)
            and table_schema in ('sources', 'cleansed', 'identity', 'profile')
            and (table_type = 'BASE TABLE' or table_schema = 'sources')
        group by all
        order by all
        """,
        [list(kinds)],
    ).fetchall()
    for name, columns in listed:
        cells = ", ".join(
            f'"{column}"::varchar' if column != "valid_to" else '("valid_to" is null)::varchar'
            for column in columns
            if column not in DELIVERY_COLUMNS | _OF_THE_RUN or column == "valid_to"
        )
        row = connection.execute(
            f"select count(*), sum(md5_number_lower(to_json([{cells}])::varchar)::hugeint)"
            f" from {name} {'where is_current' if name in _RETIRING else ''}"
        ).fetchone()
        yield name, repr(row)


def _views(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """The other views by their text: computing what follows from the tables takes seconds."""
    return connection.execute(
        """
        select schema_name || '.' || view_name, sql from duckdb_views()
        where schema_name in ('cleansed', 'identity', 'profile')
        """
    ).fetchall()


def chosen(step: str, reached: Mapping[str, int], *, quick: bool) -> list[list[Kill]]:
    """Which points are tried, as chains: each kill of a chain hits the retry of the one before.

    Args:
        step: that is killed.
        reached: how often each point is, in the order in which a run gets there first.
        quick: one chain.
    """
    kills = []
    models = [point for point in reached if point.startswith("dbt.") and point != "dbt.event"]
    for place, point in enumerate(point for point in models if point.endswith(".statement")):
        # Each model once: in one of its statements, another one each, or at its end.
        end = point.replace(".statement", ".finished")
        kills.append(Kill(step, end, 1) if place % 3 == 2 else _nth(step, reached, point, place))
    others = [point for point in reached if point not in models]
    kills += [Kill(step, point, 1) for point in others]
    if not step.startswith("extract_"):
        # Of an extract each object is another chance; of the others each statement is.
        kills += [Kill(step, point, hit) for point in others for hit in _later(reached[point])]
    chains = [kills[place : place + _CHAIN] for place in range(0, len(kills), _CHAIN)]
    return [kills[:: max(len(kills) // 3, 1)]] if quick else chains


def _nth(step: str, reached: Mapping[str, int], point: str, place: int) -> Kill:
    return Kill(step, point, place % reached[point] + 1)


def _later(hits: int) -> list[int]:
    return sorted({(hits + 1) // 2, hits} - {1})


def try_kills(lab: Lab, step: Step, share: slice, *, quick: bool) -> Report:
    """Kill a step at its points, a chain at a time, each in the home as it was before the step.

    Afterwards the home is as the undisturbed step left it.

    Args:
        lab: with the home as it is before the step.
        step: to kill.
        share: which of its chains.
        quick: whether there is one only.
    """
    report = Report()
    job = f"try_{step.name}"
    lab.keep()
    reached = lab.recorded(job)
    chains = chosen(step.name, reached, quick=quick)[share]
    if not chains:
        return report
    expected = lab.outcome(step)
    for chain in chains:
        lab.set_back()
        killed = _killed(lab, job, chain)
        report.tried += killed
        report.unreached += chain[len(killed) :]
        started = time.monotonic()
        retried = lab.run(job)
        report.slowest = max(report.slowest, time.monotonic() - started)
        names = ", ".join(map(str, chain))
        if retried != 0:
            report.faults.append(f"{names}: the retry failed\n{lab.log()}")
            continue
        report.faults += [f"{names}: {text}" for text in _differences(expected, lab.outcome(step))]
        report.faults += [f"{names}: {path} is left" for path in lab.scratch()]
    if step.then is not None:
        # What was run then belongs to later steps.
        lab.set_back()
        assert lab.run(job) == 0, lab.log()
    return report


def _killed(lab: Lab, job: str, chain: Sequence[Kill]) -> list[Kill]:
    """Kill a run, kill its retry, and so on; the kills up to the first that was not reached."""
    for place, kill in enumerate(chain):
        ended = lab.run(job, f"{kill.point}#{kill.hit}")
        if ended == 0:
            return list(chain[:place])
        # Of a dbt that is killed the run tells, and fails.
        assert ended == (1 if kill.is_of_dbt else -signal.SIGKILL), f"{kill}: {ended}\n{lab.log()}"
    return list(chain)


def _differences(expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            yield f"{name} differs: {_cut(expected.get(name))} became {_cut(found.get(name))}"


def _cut(text: str | None) -> str:
    return str(text)[:60]


def work_through(
    folder: Path,
    base: Path,
    landing: Path,
    names: Sequence[str],
    place: int,
    workers: int,
    quick: bool,
) -> Report:
    """Land a last day in a copy of `base` and run step by step, killing the steps of these names.

    Of the chains of kills each worker tries its share, by its place among them.
    """
    folder.mkdir()
    # What dbt has parsed holds for the folder that it parsed it for.
    shutil.copytree(base, folder / "home", ignore=shutil.ignore_patterns("dbt", "lock"))
    lab, report = Lab(folder, landing), Report()
    lab.show_raw_files()
    lab.land(lab.days[-1:])
    for number, step in enumerate(lab.steps):
        if step.name in names:
            started = time.monotonic()
            share = slice((place + number) % workers, None, workers)
            found = try_kills(lab, step, share, quick=quick)
            _say(
                f"{step.name:<32}{len(found.tried):4} kills {len(found.unreached):3} not reached"
                f" {len(found.faults):3} faults {time.monotonic() - started:6.0f} s"
            )
            report.add(found)
            if step.name == names[-1]:
                break
        else:
            assert lab.run(f"try_{step.name}") == 0, lab.log()
    return report


def make_base(folder: Path, landing: Path) -> Path:
    """A home in which all days but the last are loaded."""
    folder.mkdir()
    lab = Lab(folder, landing)
    lab.land(lab.days[:-1])
    assert lab.run("customer_360") == 0, lab.log()
    return folder / "home"


def _answer(answers: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        answers.put(work(*arguments))
    except BaseException:  # noqa: BLE001 (told to whoever waits for the answer)
        answers.put(Report(faults=[traceback.format_exc()]))


def prepare(folder: Path) -> tuple[Path, Path]:
    """A small company in landing, and a home in which all its days but the last are loaded."""
    landing, base = folder / "landing", folder / "base"
    if not landing.exists():
        generate(landing, folder / "truth.parquet", SIZE, seed=_SEED)
    if not base.exists():
        [made] = _in_processes([(make_base, (base, landing))])
        assert isinstance(made, Path), made
    return base / "home", landing


def run_kills(
    folder: Path,
    base: Path,
    landing: Path,
    names: Sequence[str] = (),
    *,
    quick: bool,
    workers: int = 2,
) -> Report:
    """Land a last day in copies of `base` and try the kills of these steps, or of all."""
    names = [step.name for step in steps() if not names or step.name in names]
    report = Report()
    for found in _in_processes(
        [
            (work_through, (folder / f"worker{place}", base, landing, names, place, workers, quick))
            for place in range(workers)
        ]
    ):
        report.add(found)
    return report


def _in_processes(works: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    """What each gives, in a new process of its own: whoever forks must have no threads."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    for work, arguments in works:
        context.Process(target=_answer, args=(answers, work, arguments), daemon=True).start()
    return [answers.get() for _ in works]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Try the kills, say what came of them, and exit with 1 where something was lost or doubled."""
    parser = argparse.ArgumentParser(description="SIGKILL at fail-points, retried and compared.")
    parser.add_argument("--quick", action="store_true", help="one chain per step")
    parser.add_argument("--only", action="append", default=[], help="a step; may be repeated")
    parser.add_argument("--keep", type=Path, help="a folder for the homes, which stay")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="cdp-kills-"))
    started = time.monotonic()
    try:
        report = run_kills(folder, *prepare(folder), arguments.only, quick=arguments.quick)
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    for fault in report.faults:
        _say(f"! {fault}")
    _say(
        f"{len(report.tried)} kills, {len(report.unreached)} not reached, {len(report.faults)}"
        f" faults, slowest recovery {report.slowest:.1f} s, {time.monotonic() - started:.0f} s"
    )
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
