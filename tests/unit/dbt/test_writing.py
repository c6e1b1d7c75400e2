"""What an invocation of dbt holds while it runs, and what becomes of it without its leases."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
from dagster_dbt import DbtCliInvocation

from cdp_assets.dbt.assets import all_events, tables_to_write
from cdp_assets.resources.leases import Hold, TableTakenError

MANIFEST = {
    "nodes": {
        "seed.names": {"resource_type": "seed", "config": {"schema": "cleansed"}, "name": "names"},
        "model.crm": {"resource_type": "model", "config": {"schema": "cleansed"}, "name": "crm"},
        "test.crm": {"resource_type": "test", "config": {"schema": "tests"}, "name": "crm"},
    }
}


def test_an_invocation_writes_what_is_selected_and_what_is_built_besides():
    selected = {dg.AssetKey(["identity", "links"])}
    assert tables_to_write(MANIFEST, selected, ["crm", "names"]) == [
        ("cleansed", "crm"),
        ("cleansed", "names"),
        ("identity", "links"),
    ]


def _invocation(hold: Hold, lost_after: int) -> tuple[DbtCliInvocation, list[int]]:
    signals: list[int] = []

    def stream() -> Any:
        for event in range(5):
            if event == lost_after:
                hold.lose(TableTakenError("taken"))
            yield event

    process = SimpleNamespace(send_signal=signals.append)
    return cast(DbtCliInvocation, SimpleNamespace(stream=stream, process=process)), signals


@pytest.mark.fault("F03", "F30")
def test_dbt_is_told_once_to_stop_when_a_lease_is_lost_and_is_waited_for():
    hold = Hold()
    invocation, signals = _invocation(hold, lost_after=2)
    assert all_events(invocation, hold) == [0, 1, 2, 3, 4]
    assert signals == [signal.SIGINT]


def test_dbt_is_left_alone_while_its_leases_last():
    hold = Hold()
    invocation, signals = _invocation(hold, lost_after=9)
    assert all_events(invocation, hold) == [0, 1, 2, 3, 4]
    assert signals == []
