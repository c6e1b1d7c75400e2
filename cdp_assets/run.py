"""Running landing days through the whole graph in this process, with visible progress.

Used by `cdp demo` and `cdp run`. Not here: scheduled and triggered runs, which Dagster's daemon
launches from the same job.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import dagster as dg

from cdp_assets.errors import PlatformError
from cdp_assets.resources.build import build_ledger, build_object_store
from cdp_assets.sensors.landing import partition_range_tags
from cdp_assets.settings import Settings
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.planner import plan_source


class RunFailedError(PlatformError):
    """A run failed; the message names the step and what to look at."""


def waiting_days(settings: Settings) -> list[str]:
    """The landing days that hold an object which the ledger has not loaded, oldest first."""
    store, ledger = build_object_store(settings), build_ledger(settings)
    contracts = list(load_contracts().values())
    days: set[str] = set()
    for source in sorted({contract.source for contract in contracts}):
        of_source = [contract for contract in contracts if contract.source == source]
        days.update(plan_source(source, of_source, store, ledger, settings).days)
    return sorted(days)


def run_landing_days(
    settings: Settings,
    instance: dg.DagsterInstance,
    days: Sequence[str],
    on_step: Callable[[str], None],
) -> dict[str, float]:
    """Run `customer_360` over these landing days in one run.

    Args:
        settings: of the tenant.
        instance: where Dagster keeps the run.
        days: landing days; the run covers the range from the first to the last.
        on_step: is told each finished step as a line of text.

    Returns:
        Seconds per finished step.

    Raises:
        RunFailedError: a step or a blocking check failed.
    """
    # Imported here: loading the graph costs seconds that `cdp --help` should not.
    from cdp_assets.graph import build_defs

    definitions = build_defs(settings, loggers={"progress": progress_logger(on_step)})
    result = definitions.resolve_job_def("customer_360").execute_in_process(
        instance=instance,
        tags=partition_range_tags(days),
        raise_on_error=False,
        run_config={"loggers": {"progress": {}}},
    )
    if not result.success:
        raise RunFailedError(_failure(result))
    return step_seconds(instance, result.run_id)


def progress_logger(on_step: Callable[[str], None]) -> dg.LoggerDefinition:
    """A Dagster logger that tells steps as they end, and warnings, instead of every event."""

    class Progress(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            event = getattr(record, "dagster_meta", {}).get("dagster_event")
            if event is None:
                if record.levelno >= logging.WARNING:
                    on_step(f"    ! {getattr(record, 'dagster_meta', {}).get('orig_message', '')}")
            elif event.event_type_value == "STEP_SUCCESS":
                seconds = event.event_specific_data.duration_ms / 1000
                on_step(f"  {event.step_key:<52}{seconds:8.1f} s")

    def build(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("cdp.progress", logging.DEBUG)
        logger.addHandler(Progress())
        return logger

    return dg.LoggerDefinition(build, description="One line per finished step.")


def step_seconds(instance: dg.DagsterInstance, run_id: str) -> dict[str, float]:
    """How long each step of a finished run took, in the order they started."""
    stats = instance.get_run_step_stats(run_id)
    timed = [step for step in stats if step.start_time and step.end_time]
    return {
        step.step_key: step.end_time - step.start_time
        for step in sorted(timed, key=lambda step: step.start_time)
    }


def _failure(result: dg.ExecuteInProcessResult) -> str:
    lines = [
        f"{event.step_key}: {event.event_specific_data.error_display_string.splitlines()[0]}"
        for event in result.all_events
        if event.is_step_failure
    ]
    checks = [
        f"{check.asset_key.to_user_string()}: check {check.check_name} failed. {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.blocking
    ]
    return "The run failed.\n  " + "\n  ".join(checks or lines) + "\nLook at it with `make dev`."
