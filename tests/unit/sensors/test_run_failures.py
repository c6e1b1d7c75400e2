"""What people and graphs are told when a run ends, and that no value is in it."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
import pytest

from cdp_assets.checks.conservation import CHECK_NAME
from cdp_assets.errors import PlatformError
from cdp_assets.resources.metrics import Measure
from cdp_assets.sensors.run_failures import (
    build_run_sensors,
    error_class,
    failure_text,
    run_measures,
)


class Told:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.measures: list[Measure] = []

    def notify(self, subject: str, body: str) -> None:
        self.messages.append((subject, body))

    def put(self, measures: Sequence[Measure]) -> None:
        self.measures += measures


@dg.op
def breaks() -> None:
    try:
        int("canary@example.com")
    except ValueError as error:
        raise PlatformError("The address canary@example.com is none.") from error


@dg.job
def broken() -> None:
    breaks()


@pytest.mark.fault("F44")
def test_a_failed_run_is_told_by_step_and_kind_of_error_and_no_value(
    instance: dg.DagsterInstance,
) -> None:
    result = broken.execute_in_process(instance=instance, raise_on_error=False)
    told = Told()
    [run_failures, _] = build_run_sensors(unattended=True)
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
        resources={"notifier": told, "metrics": told},
    ).for_run_failure()
    run_failures(context)
    [(subject, body)] = told.messages
    assert subject == "Run of broken failed"
    assert body == f"Run {result.run_id} of job broken failed.\n  breaks: ValueError"
    assert told.measures == [Measure("RunsFailed", 1)]


def test_a_run_that_failed_before_any_step_says_so(instance: dg.DagsterInstance) -> None:
    run = broken.execute_in_process(instance=instance, raise_on_error=False).dagster_run
    assert failure_text(run, []).endswith("failed.\n  no step began")
    assert error_class(None) == "interrupted"
    many = failure_text(run, [("step", None)] * 25).splitlines()
    assert (len(many), many[-1]) == (22, "  and 5 more steps")


def test_the_numbers_of_a_run_are_those_that_its_assets_and_checks_told(
    instance: dg.DagsterInstance,
) -> None:
    def contacts(name: str, in_: int) -> dg.AssetChecksDefinition:
        @dg.asset_check(asset=["cleansed", name], name=CHECK_NAME)
        def check() -> dg.AssetCheckResult:
            counts = {"in": in_, "loaded": 2, "duplicate": 1, "suppressed": 0, "quarantined": 1}
            return dg.AssetCheckResult(passed=True, metadata=counts)

        return check

    @dg.asset_check(asset=["identity", "cluster_assignments"], name="identity_change_gate")
    def gate() -> dg.AssetCheckResult:
        counts = {"before": 9, "created": 1, "merged": 2, "split": 3, "reidentified": 4}
        return dg.AssetCheckResult(passed=True, metadata=counts)

    @dg.asset(key=["profile", "published_profiles"])
    def published() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"dagster/row_count": 7, "completeness": "x"})

    checks = [contacts("clean_pos__receipts", 4), contacts("clean_pos__receipt_lines", 5), gate]
    everything = dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks()
    defs = dg.Definitions(
        assets=[published],
        asset_checks=checks,
        jobs=[dg.define_asset_job("everything", selection=everything)],
    )
    job = defs.resolve_job_def("everything")
    result = job.execute_in_process(instance=instance)
    measures = run_measures(instance, result.run_id)
    assert {(each.name, each.source): each.value for each in measures if each.unit == "Count"} == {
        ("RecordsIn", "pos"): 9,
        ("RecordsLoaded", "pos"): 4,
        ("RecordsDuplicate", "pos"): 2,
        ("RecordsQuarantined", "pos"): 2,
        ("CustomersMerged", None): 2,
        ("CustomersSplit", None): 3,
        ("CustomersReidentified", None): 4,
        ("PublishedProfiles", None): 7,
    }
    [seconds] = [each for each in measures if each.unit == "Seconds"]
    assert (seconds.name, seconds.value > 0) == ("RunSeconds", True)


def test_the_sensors_start_switched_off_where_nobody_asked() -> None:
    for unattended, status in ((True, "RUNNING"), (False, "STOPPED")):
        sensors = build_run_sensors(unattended=unattended)
        assert {sensor.default_status.name for sensor in sensors} == {status}
