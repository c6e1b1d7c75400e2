"""Do customers keep their ids, and what does an increment cost: the made-up town, step by step.

    python -m benchmarks.stability [--records N]

Every step compares the customer map with that of the step before it, record by record. One record
in a hundred is held back at first, and joins as the increment.
Not here: whether the customers are right (`identity.py`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from benchmarks import households
from benchmarks.labelled import Labelled, load, parse_mapping
from benchmarks.matching import MatchingHome
from benchmarks.measure import Cost, Meter, sum_of
from cdp_assets.errors import PlatformError

_SEED: Final = 1
_SHARE: Final = 0.01
# The stages that lead from cleansed rows to stable ids.
_MATCHING: Final = ("identity models", "clusters", "customer map")
_GIB: Final = 2**30


@dataclass(frozen=True)
class Step:
    """What one step did to the ids that were there before it.

    Attributes:
        name: what happened.
        records: records that had an id before.
        changed: those of them that have another one, or none, after it.
        allowed: the greatest share that may change.
        cost: of its last run, from cleansed rows to ids.
    """

    name: str
    records: int
    changed: int
    allowed: float
    cost: Cost


def main() -> None:
    """Run the steps, print them, and exit with 1 when an id changed that must not."""
    parser = argparse.ArgumentParser(description="Whether customers keep their ids, and the speed.")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--model", default="default", help="an identity model file")
    arguments = parser.parse_args()
    steps = []
    sys.stdout.write(_HEADER)
    try:
        with tempfile.TemporaryDirectory(prefix="cdp-stability-") as folder:
            for step in Town(Path(folder), arguments.records, arguments.model).steps():
                steps.append(step)
                sys.stdout.write(line(step))
                sys.stdout.flush()
    except PlatformError as error:
        sys.exit(f"benchmarks.stability: {error}")
    sys.stdout.write(_HOW_TO_READ)
    sys.exit(any(step.changed > step.allowed * step.records for step in steps))


_HEADER: Final = (
    f"{'step':<46}{'had an id':>11}{'changed':>9}{'share':>10}{'allowed':>9}"
    f"{'CPU s':>8}{'wall s':>8}{'GiB':>6}\n"
)
_HOW_TO_READ: Final = """
CPU, wall and peak memory are of the step's last run, from cleansed rows to ids: the identity models
by dbt, its start included, then clusters and map.
"""


def line(step: Step) -> str:
    """One step as a line of the table."""
    share = step.changed / step.records if step.records else 0.0
    return (
        f"{step.name:<46}{step.records:>11,}{step.changed:>9,}{share:>10.4%}{step.allowed:>9.2%}"
        f"{step.cost.cpu_seconds:>8.1f}{step.cost.wall_seconds:>8.1f}"
        f"{step.cost.peak_bytes / _GIB:>6.2f}\n"
    )


class Town:
    """The made-up town, and the steps that it goes through in a home."""

    def __init__(self, folder: Path, records: int, model: str) -> None:
        self._folder = folder
        self._records = records
        self._model = model
        self._contacts = folder / "contacts.parquet"
        self._before = folder / "before.parquet"
        self._after = folder / "after.parquet"

    def steps(self) -> Iterator[Step]:
        """Each step, when it is done."""
        self._make_town(self._records + round(self._records * _SHARE))
        home = MatchingHome(self._folder / "home", model=self._model)
        base = f"contact_number <= {self._records}"
        more = f"not ({base})"
        some = f"{base} and hash(contact_id) % {round(1 / _SHARE)} = 0"

        self._deliver(home, base)
        home.prepare()
        yield self._step("built for the first time", 0, home, [_run])
        yield self._step("run again, nothing new", 0, home, [_run])
        self._deliver(home, more, month=2)
        yield self._step("1 % more records", 0.001, home, [_run])
        self._deliver(home, some, month=3, is_deleted=True)
        restore = [_run, lambda home: self._deliver(home, some, month=4), _run]
        yield self._step("1 % deleted at the source, then restored", 0, home, restore)
        self._deliver(home, base)
        yield self._step("the first file delivered again", 0, home, [_run])
        yield self._step("rebuilt in place", 0, home, [_rebuild])
        yield from self._elsewhere(base, more, some)

    def _elsewhere(self, base: str, more: str, some: str) -> Iterator[Step]:
        """Steps in a second home, which must give the ids of the first."""
        home = MatchingHome(self._folder / "other", model=self._model)
        self._deliver(home, base)
        self._deliver(home, more, month=2)
        home.prepare()
        yield self._step("built in another home", 0, home, [_run])
        steps = [
            lambda home: self._replace(home, f"{base} and not ({some})"),
            _rebuild,
            lambda home: self._replace(home, base),
            lambda home: self._deliver(home, more, month=2),
            _rebuild,
        ]
        yield self._step("1 % and more taken out of the files, put back", 0, home, steps)

    def _step(
        self,
        name: str,
        allowed: float,
        home: MatchingHome,
        actions: list[Callable[[MatchingHome], None]],
    ) -> Step:
        for action in actions:
            home.meter = Meter()
            action(home)
        home.map_to(self._after)
        records, changed = self._compare()
        self._after.replace(self._before)
        cost = sum_of([home.meter.stages[stage] for stage in _MATCHING])
        return Step(name, records, changed, allowed, cost)

    def _compare(self) -> tuple[int, int]:
        """Records that had an id, and how many of them have another or none now."""
        if not self._before.exists():
            return 0, 0
        counts = duckdb.execute(
            f"""
            select count(*), count(*) filter (
                where before.customer_id is distinct from "after".customer_id
            )
            from '{self._before}' as before
            left join '{self._after}' as "after" using (record_id)
            """
        ).fetchone()
        return counts or (0, 0)

    def _make_town(self, records: int) -> None:
        file = self._folder / "town.parquet"
        households.generate(file, records, _SEED)
        mapping = parse_mapping(households.MAPPING)
        with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
            connection.execute("set TimeZone = 'UTC'")
            load(
                Labelled([file], households.TRUTH, mapping, households.COUNTRY),
                connection,
            )
            connection.execute(
                "copy (select *, cast(contact_id as bigint) as contact_number from contacts)"
                f" to '{self._contacts}' (format parquet)"
            )

    def _deliver(
        self, home: MatchingHome, which: str, *, month: int = 1, is_deleted: bool = False
    ) -> None:
        """Deliver these contacts, as they were modified in this month of 2020.

        A contact is created with the first of its versions: a month later than those before it.
        """
        created = f"case when contact_number > {self._records} then 2 else 1 end"
        contacts = f"""
            select * exclude (contact_number) replace (
                '{str(is_deleted).lower()}' as is_deleted,
                '2020-{month:02d}-01T00:00:00Z' as modified_at,
                timestamp '2020-{month:02d}-01' as modified_at_utc,
                '2020-0' || {created} || '-01T00:00:00Z' as created_at,
                make_timestamp(2020, {created}, 1, 0, 0, 0) as created_at_utc,
                md5(_row_hash || '{month} {is_deleted}') as _row_hash
            )
            from '{self._contacts}' where {which}
        """
        with home.connect() as connection:
            home.deliver(connection, contacts)

    def _replace(self, home: MatchingHome, which: str) -> None:
        """Put these contacts in the place of everything that was delivered."""
        for file in home.raw.glob("dt=2*/*.parquet"):
            file.unlink()
        self._deliver(home, which)


def _run(home: MatchingHome) -> None:
    home.clean()
    home.match()


def _rebuild(home: MatchingHome) -> None:
    home.clean(full_refresh=True)
    home.match(full_refresh=True)


if __name__ == "__main__":
    main()
