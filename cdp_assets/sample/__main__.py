"""`python -m cdp_assets.sample --size bench --scale 1 --out DIR`: generate, and say how fast."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from cdp_assets.sample.generate import generate
from cdp_assets.sample.size import SampleSize


def main() -> None:
    """Generate one sample company and print what was landed and the rows per second."""
    parser = argparse.ArgumentParser(prog="python -m cdp_assets.sample", description=__doc__)
    parser.add_argument("--size", choices=("tiny", "demo", "bench"), default="demo")
    parser.add_argument("--scale", type=int, default=1, help="with --size bench: 1, 2, 3, ...")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    sizes = {
        "tiny": SampleSize.tiny,
        "demo": SampleSize.demo,
        "bench": lambda: SampleSize.bench(options.scale),
    }
    started = time.perf_counter()
    report = generate(
        options.out / "landing", options.out / "truth.parquet", sizes[options.size](), options.seed
    )
    seconds = time.perf_counter() - started
    for table, rows in sorted(report.rows.items()):
        print(f"{table:<26}{rows:>12,} rows, {report.repeated_rows[table]:,} of them repeated")
    print(
        f"{report.total_rows:,} rows in {report.objects:,} objects, "
        f"{report.landed_bytes / 1e6:,.0f} MB, {report.people:,} people, "
        f"{report.broken_records} broken records\n"
        f"{seconds:.1f} s, {report.total_rows / seconds:,.0f} rows/s"
    )


if __name__ == "__main__":
    main()
