"""`cdp demo` and `cdp run`: load what is new in this process and show what came of it.

Here: the order of the steps and what a person sees. Not here: the sample (`sample/`), the run
(`run.py`), the counting (`summary.py`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cdp_assets.local import claim_home, dagster_instance, reconcile_orphans
from cdp_assets.run import run_landing_days, waiting_days
from cdp_assets.sample.generate import SampleSize, generate
from cdp_assets.settings import Settings
from cdp_assets.summary import print_summary

_SEED = 7


def run_demo(settings: Settings) -> None:
    """Generate the sample company once, load what is new, and print the summary.

    Raises:
        RunFailedError: a step failed; the message names the step and where to look.
    """
    with _timed("generate the sample company"):
        _generate_once(settings)
    run_waiting(settings)


def run_waiting(settings: Settings) -> None:
    """Load every landing object that is new, and print the summary.

    Raises:
        HomeInUseError: another process works in this home.
        RunFailedError: a step failed; the message names the step and where to look.
    """
    with claim_home(settings, "cdp run"), dagster_instance(settings) as instance:
        reconcile_orphans(instance)
        with _timed("look for new objects"):
            days = waiting_days(settings)
        if days:
            _say(f"Loading landing days {days[0]} to {days[-1]}, from extract to publish:")
            with _timed("the whole run"):
                run_landing_days(settings, instance, days, on_step=_say)
        else:
            _say("Nothing new in landing: what is published is up to date.")
    print_summary(settings)


def _generate_once(settings: Settings) -> None:
    truth = settings.sample_dir / "truth.parquet"
    if not truth.exists():
        landing = Path(settings.lake_url.removeprefix("file://")) / "landing"
        generate(landing, truth, SampleSize.demo(), seed=_SEED)


@contextmanager
def _timed(label: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    _say(f"  {label:<52}{time.monotonic() - started:8.1f} s")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
