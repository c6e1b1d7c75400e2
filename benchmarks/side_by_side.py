"""The platform beside plain Splink: the same records, the same model, in one run.

    python -m benchmarks.side_by_side [--records N]

Splink predicts and clusters as its guide shows. It is given a start: the records as the platform
has made them ready (normalised, with term frequencies, and with the keys of oversized blocks left
out, of which Splink has no notion). The platform starts from cleansed rows and ends with stable
ids.
Not here: training; both score with one model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
from splink import DuckDBAPI, Linker

from benchmarks import households
from benchmarks.labelled import Labelled, load, parse_mapping
from benchmarks.matching import MEMORY, MatchingHome
from benchmarks.measure import Cost, Meter
from cdp_assets.errors import PlatformError
from cdp_assets.identity.evaluate import Evaluation, evaluate
from cdp_assets.identity.match_model import MatchModel
from cdp_assets.identity.model_files import load_model
from cdp_assets.identity.training import splink_settings

_SEED: Final = 1
_MATCHING: Final = ("identity models", "clusters", "customer map")


@dataclass(frozen=True)
class Side:
    """What one of the two made of the records, and at what cost."""

    name: str
    clusters: Evaluation
    cost: Cost


def main() -> None:
    """Run both and print them side by side."""
    parser = argparse.ArgumentParser(description="The platform beside plain Splink.")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--model", default="default", help="an identity model file")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="cdp-side-by-side-") as folder:
            sides = compare(Path(folder), arguments.records, arguments.model)
    except PlatformError as error:
        sys.exit(f"benchmarks.side_by_side: {error}")
    sys.stdout.write("\n".join(report(*sides)) + "\n")


def compare(folder: Path, records: int, model: str) -> tuple[Side, Side]:
    """The platform, then Splink, on one town of this many records."""
    home = MatchingHome(folder / "home", model=model)
    truth = folder / "truth.parquet"
    file = folder / "town.parquet"
    households.generate(file, records, _SEED)
    mapping = parse_mapping(households.MAPPING)
    with home.connect() as connection:
        load(Labelled([file], households.TRUTH, mapping, households.COUNTRY), connection)
        home.deliver(connection, "select * from contacts")
        connection.execute(f"copy truth to '{truth}' (format parquet)")
    home.prepare()
    home.clean()
    home.match()
    ours = Side("platform", home.judge(truth).clusters, home.meter.of(_MATCHING))

    ready = folder / "ready.parquet"
    chosen = load_model(model, home.store)
    threshold = make_ready(home, chosen, ready)
    meter = Meter()
    with meter.stage("splink"), duckdb.connect(config={"memory_limit": MEMORY}) as connection:
        connection.execute(f"set temp_directory = '{folder / 'spill'}'")
        clusters = run_splink(connection, chosen, ready, threshold)
        found = connection.execute(
            f"""
            select
                dense_rank() over (order by clusters.cluster_id) as cluster,
                dense_rank() over (order by entity) as entity
            from '{truth}' as truth
            inner join {clusters} as clusters using (record_id)
            """
        ).fetchnumpy()
    theirs = evaluate(found["cluster"].astype(np.int64), found["entity"].astype(np.int64))
    return ours, Side("Splink", theirs, meter.total)


def make_ready(home: MatchingHome, model: MatchModel, file: Path) -> float:
    """Write the records that Splink reads; returns the probability from which pairs are linked."""
    keys = ", ".join(
        f"""
        case when not exists (
            select 1 from identity.oversized_blocks as blocks
            where blocks.block_rule = '{rule.name}' and blocks.block_key = {rule.key}
                and blocks.is_oversized
        ) then {rule.key} end as block_{place}
        """
        for place, rule in enumerate(model.blocking)
    )
    # The platform's own connection writes no files.
    with duckdb.connect(str(home.settings.warehouse_path)) as connection:
        connection.execute(
            f"copy (select *, {keys} from identity.match_records where is_current)"
            f" to '{file}' (format parquet)"
        )
        [(threshold,)] = connection.execute(
            "select auto_probability from identity.match_settings"
        ).fetchall()
    return float(threshold)


def run_splink(
    connection: duckdb.DuckDBPyConnection, model: MatchModel, file: Path, threshold: float
) -> str:
    """Predict and cluster; returns the name of the table of clusters."""
    api = DuckDBAPI(connection)
    settings = splink_settings(model) | {
        "blocking_rules_to_generate_predictions": [
            f"l.block_{place} = r.block_{place}" for place in range(len(model.blocking))
        ],
        "retain_intermediate_calculation_columns": False,
    }
    linker = Linker(api.register(connection.read_parquet(str(file))), settings)
    for column in model.tf_columns:
        known = f"select distinct {column}, tf_{column} from '{file}' where {column} is not null"
        linker.table_management.register_term_frequency_lookup(
            api.register(connection.sql(known)), column
        )
    pairs = linker.inference.predict(threshold_match_probability=threshold)
    clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(
        pairs, threshold_match_probability=threshold
    )
    return clusters.physical_name


def report(ours: Side, theirs: Side) -> Iterator[str]:
    """Both sides as aligned text, with their ratio."""
    yield f"{ours.clusters.records:,} records of {ours.clusters.entities:,} people"
    yield ""
    yield f"{'':<28}{ours.name:>12}{theirs.name:>12}{'ratio':>9}"
    figures = {
        "pairs, precision": lambda side: side.clusters.precision,
        "pairs, recall": lambda side: side.clusters.recall,
        "pairs, F1": lambda side: side.clusters.f1,
        "B-cubed F1": lambda side: side.clusters.b_cubed.f1,
        "entities found exactly": lambda side: side.clusters.exact_entity_rate,
        "over-merged": lambda side: side.clusters.over_merged_share,
        "largest cluster": lambda side: float(side.clusters.largest_cluster),
        "CPU s": lambda side: side.cost.cpu_seconds,
        "wall s": lambda side: side.cost.wall_seconds,
        "peak GiB": lambda side: side.cost.peak_bytes / 2**30,
    }
    for name, figure in figures.items():
        one, other = figure(ours), figure(theirs)
        digits = 1 if name in ("CPU s", "wall s") else 0 if name == "largest cluster" else 4
        ratio = f"{one / other:>9.3f}" if other else f"{'':>9}"
        yield f"{name:<28}{one:>12,.{digits}f}{other:>12,.{digits}f}{ratio}"


if __name__ == "__main__":
    main()
