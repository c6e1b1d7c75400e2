"""`make bench`: the whole pipeline through Dagster against one hand-written DuckDB script.

Both read the same landing files and leave the same tables. Then one more day that touches 1 % of
the customers lands, and its cost is set against the full run. Not here: the script itself
(`handwritten.py`), the measuring (`measure.py`), the sample (`cdp_assets/sample`).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.measure import Cost, measure
from cdp_assets.sample.generate import SampleSize, generate, write_increment
from cdp_assets.settings import PROJECT_ROOT

_SEED = 7
_ROOT = PROJECT_ROOT / ".cdp-bench"
_GIB = 2**30

_HOW_TO_READ = """
How to read it
  CPU ratio   CPU seconds of the platform / of the script. The script has no contracts, quarantine,
              lineage, tests, ids kept over runs, or increments: the ratio is what those cost.
  increment   one more day touching 1 % of the customers, as a share of the full run's CPU. The
              fixed part (starting Python, Dagster and dbt) weighs more at a small scale.
  peak        the largest resident size of all processes together.
  rows        tables of both, counted: they must agree for the comparison to mean anything.
Run it on a quiet machine; the figures are of this machine, the ratios travel better."""


@dataclass(frozen=True)
class Comparison:
    """One scale, measured."""

    scale: int
    platform: Cost
    script: Cost
    increment: Cost
    rows: dict[str, tuple[int, int]]


def main() -> None:
    """Measure the scales that were asked for and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, nargs="+", default=[1, 10])
    arguments = parser.parse_args()
    results = [compare(scale) for scale in arguments.scale]
    _say(table(results))
    _say(_HOW_TO_READ)


def compare(scale: int) -> Comparison:
    """Generate the sample at this scale and run both on it, then the increment."""
    home = _ROOT / f"scale-{scale}"
    shutil.rmtree(home, ignore_errors=True)
    landing = home / "lake" / "landing"
    size = SampleSize.bench(scale)
    _say(f"scale {scale}: generating {size.crm_rows:,} CRM rows and {size.events:,} events ...")
    generate(landing, home / "sample" / "truth.parquet", size, seed=_SEED)

    _say(f"scale {scale}: the hand-written script ...")
    tables = home / "handwritten.duckdb"
    python = [sys.executable, "-m", "benchmarks.handwritten", str(landing), str(tables)]
    script = measure(python, home / "handwritten.log")

    _say(f"scale {scale}: the platform, whole run ...")
    command = ["env", f"CDP_HOME={home}", str(Path(sys.executable).parent / "cdp"), "run"]
    platform = measure(command, home / "platform.log")
    rows = _row_counts(home / "warehouse" / "published.duckdb", tables)

    _say(f"scale {scale}: the platform, one more day touching 1 % ...")
    write_increment(landing, size, share=0.01, seed=_SEED)
    increment = measure(command, home / "increment.log")
    return Comparison(scale, platform, script, increment, rows)


def table(results: list[Comparison]) -> str:
    """The results as aligned text."""
    header = (
        f"{'scale':>5}  {'platform CPU':>12}  {'script CPU':>10}  {'CPU ratio':>9}  "
        f"{'platform wall':>13}  {'script wall':>11}  {'wall ratio':>10}  {'peak GiB':>8}  "
        f"{'increment CPU':>13}  {'share':>6}"
    )
    lines = ["", header]
    lines += [_line(one) for one in results]
    lines += ["", "rows (platform / script)"]
    for one in results:
        lines += [
            f"  scale {one.scale:<3} {name:<32}{ours:>12,} {theirs:>12,}"
            for name, (ours, theirs) in sorted(one.rows.items())
        ]
    return "\n".join(lines)


def _line(one: Comparison) -> str:
    platform, script = one.platform, one.script
    return (
        f"{one.scale:>5}  {platform.cpu_seconds:>10.1f} s  {script.cpu_seconds:>8.1f} s  "
        f"{platform.cpu_seconds / script.cpu_seconds:>8.2f}x  "
        f"{platform.wall_seconds:>11.1f} s  {script.wall_seconds:>9.1f} s  "
        f"{platform.wall_seconds / script.wall_seconds:>9.2f}x  "
        f"{platform.peak_bytes / _GIB:>8.2f}  "
        f"{one.increment.cpu_seconds:>11.1f} s  "
        f"{one.increment.cpu_seconds / platform.cpu_seconds:>6.1%}"
    )


def _row_counts(ours: Path, theirs: Path) -> dict[str, tuple[int, int]]:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{ours}' as ours (read_only)")
        connection.execute(f"attach '{theirs}' as theirs (read_only)")
        names = connection.execute(
            """
            select table_schema || '.' || table_name
            from information_schema.tables where table_catalog = 'theirs'
            """
        ).fetchall()
        return {
            name: (_count(connection, f"ours.{name}"), _count(connection, f"theirs.{name}"))
            for (name,) in names
        }


def _count(connection: duckdb.DuckDBPyConnection, table_name: str) -> int:
    (rows,) = connection.execute(f"select count(*) from {table_name}").fetchone() or (0,)
    return rows


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
