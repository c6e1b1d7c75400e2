"""How well the platform matches people that somebody has labelled, and at what cost.

    python -m benchmarks.identity FILE [FILE...] --truth COLUMN --map first_name=COL,... [--json]

One configuration for all data: what runs is what ships. Nothing looks at the truth before the
customers are there.
Not here: reading the files (`labelled.py`), running the stages (`matching.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.labelled import FIELDS, Labelled, load, parse_mapping
from benchmarks.matching import MEMORY, Found, MatchingHome
from benchmarks.measure import Meter
from cdp_assets.errors import PlatformError
from cdp_assets.identity.evaluate import Agreement


@dataclass(frozen=True)
class Result:
    """What matching one data set gave and cost.

    Attributes:
        records: rows matched, with or without a known truth.
        found: agreement with the truth.
        meter: what each stage cost.
    """

    records: int
    found: Found
    meter: Meter

    def as_json(self) -> dict[str, Any]:
        """The one object that `--json` prints."""
        clusters, total = self.found.clusters, self.meter.total
        return {
            "records": self.records,
            "entities": clusters.entities,
            "clusters": clusters.clusters,
            "pair": _shares(self.found.pairs),
            "cluster": _shares(clusters.pairs),
            "b_cubed": _shares(clusters.b_cubed),
            "exact_entity_rate": clusters.exact_entity_rate,
            "over_merged_share": clusters.over_merged_share,
            "largest_cluster": clusters.largest_cluster,
            "cpu_seconds": round(total.cpu_seconds, 2),
            "peak_rss_bytes": total.peak_bytes,
        }


def main() -> None:
    """Read the arguments, match, and print."""
    arguments = _parser().parse_args()
    try:
        labelled = Labelled(
            files=arguments.files,
            truth=arguments.truth,
            mapping=parse_mapping(arguments.map),
            country=arguments.country,
        )
        result = run(labelled, arguments)
    except PlatformError as error:
        sys.exit(f"benchmarks.identity: {error}")
    _say(*report(result))
    if arguments.json:
        _say(json.dumps(result.as_json()))


def run(labelled: Labelled, arguments: argparse.Namespace) -> Result:
    """Match the labelled records in a home of their own, which is gone afterwards or kept."""
    if arguments.keep is not None:
        if arguments.keep.exists() and any(arguments.keep.iterdir()):
            raise PlatformError(f"--keep: {arguments.keep} is not empty.")
        return match_labelled(labelled, arguments.keep, arguments.model, train=arguments.train)
    with tempfile.TemporaryDirectory(prefix="cdp-identity-") as folder:
        return match_labelled(labelled, Path(folder), arguments.model, train=arguments.train)


def match_labelled(labelled: Labelled, folder: Path, model: str, *, train: bool) -> Result:
    """Match the labelled records in the home `folder`, and compare with the truth.

    Args:
        labelled: the records.
        folder: becomes a CDP_HOME.
        model: the identity model, as the setting takes it.
        train: train a model on the records first, without their labels.
    """
    home = MatchingHome(folder, model=model, memory=MEMORY)
    folder.mkdir(parents=True, exist_ok=True)
    truth = folder / "truth.parquet"
    with home.meter.stage("reading"), home.connect() as connection:
        records = load(labelled, connection)
        home.deliver(connection, "select * from contacts")
        connection.execute(f"copy truth to '{truth}' (format parquet)")
    home.prepare()
    home.clean()
    if train:
        home.train()
    home.match()
    with home.meter.stage("judging"):
        found = home.judge(truth)
    return Result(records, found, home.meter)


def report(result: Result) -> Iterable[str]:
    """The result as aligned text."""
    found, clusters = result.found, result.found.clusters
    yield (
        f"{result.records:,} records, {clusters.records:,} of them labelled: "
        f"{clusters.entities:,} entities, {clusters.clusters:,} customers found"
    )
    yield ""
    yield f"{'':<34}{'precision':>10}{'recall':>10}{'F1':>10}"
    yield _line("pairs linked directly", found.pairs)
    yield _line("pairs in one customer (cluster)", clusters.pairs)
    yield _line("B-cubed", clusters.b_cubed)
    yield ""
    yield f"{'entities found exactly':<34}{clusters.exact_entity_rate:>10.4f}"
    yield (
        f"{'over-merged':<34}{clusters.over_merged_share:>10.4f}"
        f"  ({clusters.over_merged:,} of {clusters.joined:,} customers of two or more records)"
    )
    yield (
        f"{'largest customer':<34}{clusters.largest_cluster:>10,}"
        f"  (largest entity: {clusters.largest_entity:,})"
    )
    if found.held_back:
        yield f"{'held back, counted as single':<34}{found.held_back:>10,}"
    yield ""
    yield f"{'stage':<34}{'CPU s':>10}{'wall s':>10}{'peak MiB':>10}"
    for name, cost in [*result.meter.stages.items(), ("total", result.meter.total)]:
        yield (
            f"{name:<34}{cost.cpu_seconds:>10.1f}{cost.wall_seconds:>10.1f}"
            f"{cost.peak_bytes / 2**20:>10,.0f}"
        )
    yield "CPU and memory are of all processes together; memory is sampled ten times a second."


def _line(name: str, agreement: Agreement) -> str:
    shares = (agreement.precision, agreement.recall, agreement.f1)
    return f"{name:<34}" + "".join(f"{share:>10.4f}" for share in shares)


def _shares(agreement: Agreement) -> dict[str, float]:
    return {"precision": agreement.precision, "recall": agreement.recall, "f1": agreement.f1}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.identity",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Match labelled records with the platform as it ships, and measure.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="CSV or Parquet, read as text; several are stacked, their columns matched by name",
    )
    parser.add_argument(
        "--truth", required=True, metavar="COLUMN", help="column with the true entity of each row"
    )
    parser.add_argument(
        "--map",
        required=True,
        metavar="FIELD=COLUMN,...",
        help="our fields and the file's columns; COLUMN+COLUMN joins columns with a space",
    )
    parser.add_argument(
        "--train",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="train a model on these records, without their labels (the default), "
        "or match with the one that --model names",
    )
    parser.add_argument(
        "--model", default="default", help="an identity model file; else the one that ships"
    )
    parser.add_argument(
        "--country", help="where phone numbers without a country code are from (name or ISO code)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the figures as one JSON object, the last line"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the home, to look at what was matched"
    )
    return parser


_EPILOG = f"""Fields: {", ".join(FIELDS)}. Any subset will do.

Rows whose truth is empty are matched but not judged. Dates of birth are read as ISO, YYYYMMDD,
DD/MM/YYYY or MM/DD/YYYY, whichever the column shows. Phones without a country code and without
--country are compared by their digits. record_id and source may be named, and decide nothing."""


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
