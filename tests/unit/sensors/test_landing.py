from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from cdp_assets.resources.object_store import ObjectInfo
from cdp_assets.sensors.landing import MAX_FAILURES, partition_range_tags, request
from cdp_assets.sources.planner import LandingObject, LandingPlan


@dg.job
def customer_360():
    pass


@dg.job
def something_else():
    pass


def _plan(
    *days: str, version: str = "v1", contract_version: int = 1, replaces: int = 0
) -> LandingPlan:
    objects = [
        LandingObject(
            _info(f"landing/crm/contacts/dt={day}/a.csv", version),
            "crm",
            "c",
            day,
            contract_version,
            replaces,
        )
        for day in days
    ]
    return LandingPlan(tuple(objects), unknown=(), remaining=0)


def _info(key: str, version: str) -> ObjectInfo:
    return ObjectInfo(key, version, size=1, modified_at=datetime(2026, 8, 30, tzinfo=UTC))


def _requested(instance: dg.DagsterInstance, plan: LandingPlan) -> dg.RunRequest:
    asked = request(instance, "crm", plan)
    assert isinstance(asked, dg.RunRequest)
    return asked


def test_one_run_is_asked_for_over_the_days_from_the_first_to_the_last(instance):
    asked = _requested(instance, _plan("2026-08-28", "2026-08-30"))
    assert partition_range_tags(["2026-08-28", "2026-08-30"]).items() <= asked.tags.items()


@pytest.mark.fault("F30")
@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED], ids=lambda s: s.value
)
def test_objects_wait_while_a_run_of_another_source_covers_their_days(instance, status):
    tags = partition_range_tags(["2026-08-27", "2026-08-30"])
    instance.create_run_for_job(customer_360, status=status, tags=tags)
    assert isinstance(request(instance, "crm", _plan("2026-08-28")), dg.SkipReason)


@pytest.mark.parametrize("day", ["2026-08-26", "2026-08-31"])
def test_objects_of_other_days_do_not_wait(instance, day):
    tags = partition_range_tags(["2026-08-27", "2026-08-30"])
    started = dg.DagsterRunStatus.STARTED
    instance.create_run_for_job(customer_360, status=started, tags=tags)
    _requested(instance, _plan("2026-08-28", day))


def test_a_run_of_another_job_or_one_that_has_ended_holds_nothing_up(instance):
    tags = partition_range_tags(["2026-08-28"])
    ended, started = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.STARTED
    instance.create_run_for_job(customer_360, status=ended, tags=tags)
    instance.create_run_for_job(something_else, status=started, tags=tags)
    _requested(instance, _plan("2026-08-28"))


@pytest.mark.fault("F04", "F50")
@pytest.mark.parametrize(
    "failed", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED], ids=lambda s: s.value
)
def test_runs_in_vain_are_repeated_under_new_keys_until_the_loop_breaker_opens(instance, failed):
    plan = _plan("2026-08-28")
    keys = []
    for _ in range(MAX_FAILURES):
        asked = _requested(instance, plan)
        keys.append(asked.run_key)
        instance.create_run_for_job(customer_360, status=failed, tags=dict(asked.tags))
    assert len(set(keys)) == MAX_FAILURES
    skipped = request(instance, "crm", plan)
    assert isinstance(skipped, dg.SkipReason)
    assert "by hand" in str(skipped.skip_message)


@pytest.mark.fault("F06")
@pytest.mark.parametrize("again", [{"replaces": 7}, {"contract_version": 2}], ids=str)
def test_what_was_loaded_once_is_asked_for_again_in_the_place_of_another(instance, again):
    # Dagster starts one run per key, for ever.
    first = _requested(instance, _plan("2026-08-28"))
    assert _requested(instance, _plan("2026-08-28", **again)).run_key != first.run_key


@pytest.mark.fault("F06", "F50")
def test_an_object_that_was_replaced_after_failures_gets_new_chances(instance):
    plan = _plan("2026-08-28")
    for _ in range(MAX_FAILURES):
        tags = dict(_requested(instance, plan).tags)
        failed = dg.DagsterRunStatus.FAILURE
        instance.create_run_for_job(customer_360, status=failed, tags=tags)
    _requested(instance, _plan("2026-08-28", version="v2"))
