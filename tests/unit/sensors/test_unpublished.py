"""When what is loaded and not published is asked for again."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from cdp_assets.resources.object_ledger import SQLiteObjectLedger
from cdp_assets.resources.object_store import LocalObjectStore
from cdp_assets.sensors.landing import MAX_FAILURES
from cdp_assets.sensors.unpublished import request_refresh
from tests.unit.sensors.landed import settle, touch

pytestmark = pytest.mark.fault("F02", "F04")


@dg.job
def refresh_profiles():
    pass


@pytest.fixture
def ledger(tmp_path: Path) -> SQLiteObjectLedger:
    """A ledger with two loads, of which nobody has published any."""
    touch(tmp_path, [f"landing/crm/contacts/dt=2026-08-28/{name}.csv" for name in "ab"])
    settle(tmp_path / "ledger.sqlite", LocalObjectStore(tmp_path).list("landing"))
    return SQLiteObjectLedger(tmp_path / "ledger.sqlite")


def test_what_no_published_version_has_is_asked_for_and_then_not_again(instance, ledger):
    asked = request_refresh(instance, ledger)
    assert isinstance(asked, dg.RunRequest)
    ended = dg.DagsterRunStatus.SUCCESS
    instance.create_run_for_job(refresh_profiles, status=ended, tags=dict(asked.tags))
    again = request_refresh(instance, ledger)
    # Dagster starts one run per key: one that published nothing is not repeated for ever.
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == asked.run_key
    ledger.mark_published(ledger.max_load_id())
    assert isinstance(request_refresh(instance, ledger), dg.SkipReason)


def test_nothing_is_asked_for_while_any_run_may_still_publish_it(instance, ledger):
    instance.create_run_for_job(refresh_profiles, status=dg.DagsterRunStatus.NOT_STARTED)
    assert isinstance(request_refresh(instance, ledger), dg.SkipReason)


@pytest.mark.fault("F50")
def test_refreshes_in_vain_are_repeated_until_the_loop_breaker_opens(instance, ledger):
    keys = set()
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED) * MAX_FAILURES:
        asked = request_refresh(instance, ledger)
        if isinstance(asked, dg.RunRequest):
            keys.add(asked.run_key)
            instance.create_run_for_job(refresh_profiles, status=status, tags=dict(asked.tags))
    assert len(keys) == MAX_FAILURES
    skipped = request_refresh(instance, ledger)
    assert isinstance(skipped, dg.SkipReason)
    assert "by hand" in str(skipped.skip_message)
