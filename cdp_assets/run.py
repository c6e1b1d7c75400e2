"""Running the graph in this process, with visible progress.

Used by the command line. Not here: scheduled and triggered runs, which Dagster's daemon launches
from the same jobs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import dagster as dg

from cdp_assets.errors import PlatformError
from cdp_assets.resources.build import build_ledger, build_object_store
from cdp_assets.sensors.landing import partition_range_tags
from cdp_assets.settings import Settings
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.planner import plan_source


class RunFailedError(PlatformError):
    """A run failed; the message names the step and what to look at.

    Attributes:
        is_explained: the message says why; else it knows only the kind of error.
    """

    def __init__(self, message: str, *, is_explained: bool) -> None:
        super().__init__(message)
        self.is_explained = is_explained


@dataclass(frozen=True)
class Waiting:
    """What lies in landing and is not loaded.

    Attributes:
        days: landing days that hold such an object, oldest first.
        problems: sentences about objects that belong to no source, without their content.
    """

    days: Sequence[str]
    problems: Sequence[str]


def waiting(settings: Settings) -> Waiting:
    """Compare landing with the ledger, for every source."""
    store, ledger = build_object_store(settings), build_ledger(settings)
    contracts = list(load_contracts().values())
    days: set[str] = set()
    problems: list[str] = []
    for source in sorted({contract.source for contract in contracts}):
        of_source = [contract for contract in contracts if contract.source == source]
        plan = plan_source(source, of_source, store, ledger, settings)
        days.update(plan.days)
        problems += plan.problems
    return Waiting(sorted(days), problems)


def run_landing_days(
    settings: Settings,
    instance: dg.DagsterInstance,
    days: Sequence[str],
    on_step: Callable[[str], None],
) -> None:
    """Run `customer_360` over the landing days from the first to the last, in one run.

    Raises:
        RunFailedError: a step or a blocking check failed.
    """
    run_job(settings, instance, "customer_360", partition_range_tags(days), on_step)


def run_job(
    settings: Settings,
    instance: dg.DagsterInstance,
    name: str,
    tags: Mapping[str, str],
    on_step: Callable[[str], None],
) -> None:
    """Run a job in this process.

    Args:
        settings: of the tenant; what dbt prints goes to `run.log` in its home.
        instance: where Dagster keeps the run.
        name: of the job.
        tags: of the run.
        on_step: is told each finished step as a line of text.

    Raises:
        RunFailedError: a step or a blocking check failed.
    """
    # Imported here: loading the graph costs seconds that `cdp --help` should not.
    from cdp_assets.graph import build_defs

    definitions = build_defs(settings, loggers={"progress": progress_logger(on_step)})
    job = definitions.resolve_job_def(name)
    with (settings.home / "run.log").open("w") as log, redirect_stdout(log):
        result = job.execute_in_process(
            instance=instance,
            tags=dict(tags),
            raise_on_error=False,
            run_config={"loggers": {"progress": {}}},
        )
    if not result.success:
        told, is_explained = _failure(result)
        raise RunFailedError(
            f"{told}\nWhat dbt printed is in {log.name}.", is_explained=is_explained
        )


def progress_logger(on_step: Callable[[str], None]) -> dg.LoggerDefinition:
    """A Dagster logger that tells steps as they end, and warnings, instead of every event."""

    class Progress(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            event = getattr(record, "dagster_meta", {}).get("dagster_event")
            if event is None:
                if record.levelno >= logging.WARNING:
                    on_step(f"    ! {getattr(record, 'dagster_meta', {}).get('orig_message', '')}")
            elif event.event_type_value == "STEP_SUCCESS":
                seconds = event.step_success_data.duration_ms / 1000
                on_step(f"  {event.step_key:<52}{seconds:8.1f} s")

    def build(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("cdp.progress", logging.DEBUG)
        logger.addHandler(Progress())
        return logger

    return dg.LoggerDefinition(build, description="One line per finished step.")


def cause_of(error: Any) -> str:
    """What a step failed of, in one line.

    A fault of ours is told in its own words, which repeat no value of a record; of any other only
    the kind, as nobody knows what its message holds.

    Args:
        error: of a step failure, as Dagster keeps it.
    """
    kind = "It was interrupted"
    while error is not None:
        if _is_ours(error):
            return error.message.partition(": ")[2].strip()
        kind, error = error.cls_name, error.cause
    return f"{kind}."


def _is_ours(error: Any) -> bool:
    """Whether the message of an error, as Dagster keeps it, is one that we wrote."""
    kinds = (PlatformError, *_kinds_below(PlatformError))
    return error.cls_name in {kind.__name__ for kind in kinds}


def _kinds_below(kind: type) -> Iterator[type]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds_below(below)


def _failure(result: dg.ExecuteInProcessResult) -> tuple[str, bool]:
    """What failed, and whether that is known."""
    errors = {
        event.step_key: event.step_failure_data.error for event in result.get_step_failure_events()
    }
    checks = [
        f"{check.asset_key.to_user_string()}: check {check.check_name} failed. {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.blocking
    ]
    lines = checks or [f"{step}: {cause_of(error)}" for step, error in errors.items()]
    told = "The run failed.\n  " + "\n  ".join(lines) + "\nLook at it with `make dev`."
    return told, bool(checks) or all(map(_is_explained, errors.values()))


def _is_explained(error: Any) -> bool:
    while error is not None and not _is_ours(error):
        error = error.cause
    return error is not None
