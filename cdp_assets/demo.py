"""`cdp demo`, `run`, `replay`, `identity train`: run in this process and show what came of it.

Here: the order of the steps and what a person sees. Not here: the sample (`sample/`), the run
(`run.py`), the counting (`summary.py`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from cdp_assets.activation.sync import is_outdated
from cdp_assets.built_by import layers_of_other_code
from cdp_assets.doctor import check_state, damage_told, was_moved
from cdp_assets.errors import PlatformError
from cdp_assets.identity.console import unapplied
from cdp_assets.local import claim_home, dagster_instance, reconcile_orphans
from cdp_assets.naming import IDENTITY, TRAINED_MODEL, asset_key
from cdp_assets.profile.publish import is_behind
from cdp_assets.resources.build import (
    build_ledger,
    build_object_store,
    build_profile_store,
    build_warehouse,
)
from cdp_assets.run import run_job, run_landing_days, waiting
from cdp_assets.settings import Settings
from cdp_assets.sources.contracts import contract_of
from cdp_assets.sources.extract import replay
from cdp_assets.summary import print_summary

_SEED = 7


def run_demo(settings: Settings) -> None:
    """Generate the sample company once, load what is new, and print the summary.

    Raises:
        RunFailedError: a step failed; the message names the step and where to look.
    """
    with _timed("generate the sample company"):
        _generate_once(settings)
    # Nobody of the sample company exists.
    run_waiting(settings, show_values=True)


def run_waiting(settings: Settings, *, show_values: bool = False) -> None:
    """Load every landing object that is new, and print the summary.

    Args:
        settings: of the tenant.
        show_values: whether the summary shows a customer's values.

    Raises:
        HomeInUseError: another process works in this home.
        RunFailedError: a step failed; the message names the step and where to look.
    """
    with _at_work(settings, "cdp run") as instance:
        with _timed("look for new objects"):
            found = waiting(settings)
        for problem in found.problems:
            _say(f"    ! {problem}")
        if not found.days:
            _say("Nothing new in landing.")
        # One plan names a bounded number of objects; a landing folder may hold more.
        while found.days:
            _say(f"Loading landing days {found.days[0]} to {found.days[-1]}, extract to publish:")
            with _timed("the whole run"):
                run_landing_days(settings, instance, found.days, on_step=_say)
            found = waiting(settings)
        _catch_up(settings, instance)
    print_summary(settings, show_values=show_values)


def replay_quarantine(settings: Settings, source: str, entity: str) -> None:
    """Extract again what has rows in quarantine, and bring the profiles up to date.

    Raises:
        ContractError: there is no such source entity.
        HomeInUseError: another process works in this home.
        RunFailedError: a step failed; the message names the step and where to look.
    """
    contract = contract_of(source, entity)
    with _at_work(settings, "cdp replay") as instance:
        store, ledger = build_object_store(settings), build_ledger(settings)
        report = replay(contract, store=store, ledger=ledger, limits=settings.limits)
        for problem in report.problems:
            _say(f"    ! {problem}")
        _say(
            f"Extracted {report.total.objects} objects again: {report.total.loaded} records loaded,"
            f" {report.total.quarantined} still in quarantine."
        )
        if report.total.objects:
            _refresh(settings, instance)
    print_summary(settings)


def train_model(settings: Settings) -> None:
    """Train a new identity model, and say how to try it.

    Raises:
        HomeInUseError: another process works in this home.
        RunFailedError: a step failed; the message names the step and where to look.
    """
    with _at_work(settings, "cdp identity train") as instance:
        with _timed("the training"):
            run_job(settings, instance, "train_identity_model", {}, on_step=_say)
        event = instance.get_latest_materialization_event(asset_key(IDENTITY, TRAINED_MODEL))
    if event is None or event.asset_materialization is None:
        raise PlatformError("The training left no model.")
    told = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    _say(json.dumps(told["report"], indent=2))
    _say(f"Model {told['version']} is kept in the lake as {told['object']}.")
    _say(
        f"`cdp identity preview --model {told['version']}` says what it would change;"
        f" CDP_IDENTITY_MODEL={told['version']} puts it to use."
    )


@contextmanager
def _at_work(settings: Settings, command: str) -> Iterator[dg.DagsterInstance]:
    """Claim the home, see that its state is sound, and tell of it where a run fails of damage."""
    with claim_home(settings, command):
        check_state(settings)
        with dagster_instance(settings) as instance, damage_told(settings):
            reconcile_orphans(instance)
            yield instance


def _catch_up(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Publish what a run that failed left behind; apply what has changed around the records."""
    if was_moved(settings):
        _say("This home was moved: showing its raw files where they are now, cleansing to publish:")
        _refresh(settings, instance)
    if is_behind(build_ledger(settings)):
        _say("Going on where a run failed, cleansing to publish:")
        _refresh(settings, instance)
    found = unapplied(settings)
    if found:
        _say(f"Applying {' and '.join(found)}:")
        _refresh(settings, instance)
    layers = layers_of_other_code(build_warehouse(settings))
    if layers:
        _say(f"Other code built {', '.join(layers)}; building anew, cleansing to publish:")
        _refresh(settings, instance)
    if is_outdated(build_warehouse(settings), build_profile_store(settings)):
        _say("Bringing the profile store up to what is published:")
        run_job(settings, instance, "sync_profiles", {}, on_step=_say)


def _refresh(settings: Settings, instance: dg.DagsterInstance) -> None:
    with _timed("the whole run"):
        run_job(settings, instance, "refresh_profiles", {}, on_step=_say)


def _generate_once(settings: Settings) -> None:
    # Imported here: `cdp run` need not wait for it.
    from cdp_assets.sample.generate import SampleSize, generate

    truth = settings.sample_dir / "truth.parquet"
    if truth.exists():
        return
    if settings.lake_folder is None:
        raise PlatformError("The demo lands in a folder of this machine: unset CDP_LAKE_URL.")
    generate(settings.lake_folder / "landing", truth, SampleSize.demo(), seed=_SEED)


@contextmanager
def _timed(label: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    _say(f"  {label:<52}{time.monotonic() - started:8.1f} s")


def _say(line: str) -> None:
    # The terminal itself: while a run goes on, standard output belongs to dbt's log.
    terminal = sys.__stdout__ or sys.stdout
    terminal.write(f"{line}\n")
    terminal.flush()
