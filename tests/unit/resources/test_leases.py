"""Who may write a table, over HTTP: writers side by side, killed ones, slow ones, lost answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cdp_assets.resources.dynamodb import DynamoDBError
from cdp_assets.resources.leases import (
    DynamoDBLeases,
    NoLeases,
    Pace,
    TableBusyError,
    TableTakenError,
)
from tests.faults import counting
from tests.unit.aws import FAULTS, Fault, Wire, dynamodb, new_table, response
from tests.unit.s3 import REGION, s3_endpoint

__all__ = ["dynamodb", "s3_endpoint"]

MAP = ("identity", "customer_map")
PROFILES = ("profile", "customer_profiles")

# Long enough to last a slow test, with a holder that hardly waits.
LONG = Pace(lease=60, beat=60, patience=0, poll=0.01)
# Lapses while a test looks on.
SHORT = Pace(lease=0.4, beat=60, patience=5, poll=0.02)


@pytest.fixture
def table(dynamodb: Any) -> str:
    return new_table(dynamodb)


@pytest.fixture
def leases(dynamodb: Any, table: str) -> Callable[..., DynamoDBLeases]:
    def make(pace: Pace = LONG, client: Any = None, tenant: str = "main") -> DynamoDBLeases:
        return DynamoDBLeases(client or dynamodb, table, tenant, pace)

    return make


@pytest.fixture
def killed(s3_endpoint: str, table: str) -> Callable[[Pace], None]:
    """Let another process take the table, and kill it."""
    code = """
import boto3, sys, time
from cdp_assets.resources.leases import DynamoDBLeases, Pace
client = boto3.client("dynamodb", endpoint_url=sys.argv[1], region_name=sys.argv[2])
pace = Pace(lease=float(sys.argv[4]), beat=0.05)
with DynamoDBLeases(client, sys.argv[3], "main", pace).hold([("identity", "customer_map")]):
    print("held", flush=True)
    time.sleep(60)
"""

    def kill(pace: Pace) -> None:
        arguments = [s3_endpoint, REGION, table, str(pace.lease)]
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            process.kill()

    return kill


@pytest.fixture
def wrong_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the clock of this process differ by so many seconds from now on."""

    def differ(seconds: float) -> None:
        clock = SimpleNamespace(
            time=lambda: time.time() + seconds, monotonic=time.monotonic, sleep=time.sleep
        )
        monkeypatch.setattr("cdp_assets.resources.leases.time", clock)

    return differ


def items(dynamodb: Any, table: str) -> dict[str, dict[str, Any]]:
    return {item["sk"]["S"]: item for item in dynamodb.scan(TableName=table)["Items"]}


def test_a_laptop_asks_nobody() -> None:
    with NoLeases().hold([MAP]) as hold, NoLeases().hold([MAP]):
        hold.check()
        assert not hold.is_lost


@pytest.mark.fault("F30")
def test_one_writer_at_a_time_and_the_next_when_it_has_ended(leases: Any) -> None:
    with leases().hold([PROFILES, MAP, MAP]):
        with pytest.raises(TableBusyError), leases().hold([MAP]):
            pass
        with leases().hold([("identity", "identifiers")]):
            pass
    with leases().hold([MAP]):
        pass


def test_of_two_tables_none_is_held_when_one_is_busy(leases: Any) -> None:
    with leases().hold([MAP]):
        with pytest.raises(TableBusyError), leases().hold([MAP, PROFILES]):
            pass
        with leases().hold([PROFILES]):
            pass


def test_a_step_that_fails_lets_go(leases: Any) -> None:
    with pytest.raises(RuntimeError, match="of its own"), leases().hold([MAP]):
        raise RuntimeError("of its own")
    with leases().hold([MAP]):
        pass


def test_a_step_without_tables_asks_nobody(s3_endpoint: str, table: str, leases: Any) -> None:
    wire = Wire(s3_endpoint)
    with leases(client=wire.client).hold([]):
        pass
    assert wire.calls == []


def test_tenants_in_one_table_do_not_wait_for_each_other(leases: Any) -> None:
    with leases(tenant="a").hold([MAP]), leases(tenant="a_b").hold([MAP]):
        pass


def test_who_waited_in_vain_is_told_for_what_and_what_to_do(leases: Any) -> None:
    with leases().hold([MAP]):
        busy = (
            r"identity\.customer_map is being written by process \d+ on \S+ since 20\d\d-.* UTC, "
            r"and was for the 0 seconds .* let that run end, .* lapses at 20\d\d-.* UTC\."
        )
        with pytest.raises(TableBusyError, match=busy), leases().hold([MAP]):
            pass


@pytest.mark.fault("F30")
def test_writers_in_two_threads_never_write_at_once(leases: Any) -> None:
    pace = Pace(lease=30, beat=0.05, patience=30, poll=0.01)
    inside, most, done = [0], [0], [0]

    def write(first: tuple[str, str], second: tuple[str, str]) -> None:
        for _ in range(8):
            with leases(pace).hold([first, second]):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.01)
                inside[0] -= 1
                done[0] += 1

    # In opposite orders: who took one by one would wait for the other for ever.
    threads = [
        threading.Thread(target=write, args=order) for order in ((MAP, PROFILES), (PROFILES, MAP))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], done[0]) == (1, 16)


def test_a_step_may_last_longer_than_a_lease(leases: Any) -> None:
    with leases(Pace(lease=0.5, beat=0.05)).hold([MAP]) as hold:
        time.sleep(1)
        with pytest.raises(TableBusyError), leases().hold([MAP]):
            pass
        hold.check()


@pytest.mark.fault("F03", "F30")
def test_what_a_killed_writer_held_is_free_when_its_lease_lapses_and_not_before(
    leases: Any, killed: Any
) -> None:
    killed(Pace(lease=1.5))
    with pytest.raises(TableBusyError), leases().hold([MAP]):
        pass
    started = time.monotonic()
    with leases(Pace(lease=60, beat=60, patience=30, poll=0.02)).hold([MAP]):
        assert time.monotonic() - started > 0.2


def test_of_two_who_wait_for_a_killed_writer_one_is_first(leases: Any, killed: Any) -> None:
    killed(Pace(lease=1))
    test_writers_in_two_threads_never_write_at_once(leases)


@pytest.mark.fault("F03", "F30")
def test_a_holder_that_was_taken_for_dead_fails_and_takes_nothing_back(leases: Any) -> None:
    told = r"lease of identity\.customer_map, held since 20.* UTC, went to another writer.*launch"
    with ExitStack() as other:
        with pytest.raises(TableTakenError, match=told), leases(SHORT).hold([MAP, PROFILES]):
            other.enter_context(leases(replace(LONG, patience=5)).hold([MAP]))
        with pytest.raises(TableBusyError), leases().hold([MAP]):
            pass
        with leases().hold([PROFILES]):
            pass


def test_a_long_step_hears_of_its_loss_before_it_ends(
    leases: Any, dynamodb: Any, table: str
) -> None:
    def step() -> None:
        with leases(Pace(lease=60, beat=0.02)).hold([MAP]) as hold:
            # What somebody does who follows bad advice.
            key = {"pk": {"S": "main#LEASES"}, "sk": {"S": "identity.customer_map"}}
            dynamodb.delete_item(TableName=table, Key=key)
            until = time.monotonic() + 10
            while not hold.is_lost and time.monotonic() < until:
                time.sleep(0.01)
            heard.append(hold.is_lost)

    heard: list[bool] = []
    with pytest.raises(TableTakenError, match="went to another writer"):
        step()
    assert heard == [True]


def test_a_holder_that_cannot_renew_gives_up_before_others_may_begin(
    leases: Any, s3_endpoint: str
) -> None:
    wire = Wire(s3_endpoint)

    def step() -> None:
        with leases(Pace(lease=2, beat=0.05), wire.client).hold([MAP]) as hold:
            began = time.monotonic()
            wire.answer(lambda _, asked: response(asked, 503, {"__type": "ServiceUnavailable"}))
            while not hold.is_lost:
                time.sleep(0.01)
            waited.append(time.monotonic() - began)
            wire.answer(lambda *_: None)

    waited: list[float] = []
    with pytest.raises(TableTakenError, match="could not be renewed"):
        step()
    assert 1.5 < waited[0] < 2


def test_a_step_that_cannot_prove_at_its_end_that_it_was_alone_fails(
    leases: Any, s3_endpoint: str
) -> None:
    wire = Wire(s3_endpoint)
    with pytest.raises(DynamoDBError), leases(client=wire.client).hold([MAP]):
        wire.answer(lambda _, asked: response(asked, 503, {"__type": "ServiceUnavailable"}))


@pytest.mark.fault("F23")
@pytest.mark.parametrize(("holders", "waiters"), [(86_400, 0), (0, -86_400)])
def test_no_clock_that_is_wrong_keeps_a_table_for_ever(
    holders: float, waiters: float, leases: Any, wrong_clock: Callable[[float], None]
) -> None:
    def wait() -> float:
        wrong_clock(waiters)
        started = time.monotonic()
        with leases(SHORT).hold([MAP]):
            return time.monotonic() - started

    wrong_clock(holders)
    waited: list[float] = []
    # Renewed by nobody, as after a kill.
    with pytest.raises(TableTakenError), leases(SHORT).hold([MAP]):
        waited.append(wait())
    assert 0.3 < waited[0] < 4


@pytest.mark.fault("F23")
def test_a_clock_that_is_a_little_wrong_takes_no_table_from_a_holder_that_renews(
    leases: Any, wrong_clock: Callable[[float], None]
) -> None:
    with leases(Pace(lease=60, beat=0.05)).hold([MAP]):
        wrong_clock(50)
        with pytest.raises(TableBusyError), leases(Pace(patience=0.5, poll=0.05)).hold([MAP]):
            pass
        wrong_clock(0)


@pytest.mark.fault("F25", "F26")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_is_held_once_whichever_call_fails_and_is_made_again(
    fault: Fault, leases: Any, s3_endpoint: str, dynamodb: Any, table: str
) -> None:
    wire, nth = Wire(s3_endpoint, retries=2), 0
    for nth in range(1, 10):
        wire.fail_nth(nth, fault)
        with leases(client=wire.client).hold([MAP, PROFILES]):
            held = items(dynamodb, table)
            assert len({item["holder"]["S"] for item in held.values()}) == 1
            with pytest.raises(TableBusyError), leases().hold([PROFILES]):
                pass
        if nth > len(wire.calls):
            break
        with leases().hold([MAP, PROFILES]):
            pass
        counting.count("nth-call runs", 1)
        counting.count("lost responses", int(fault == "lost"))
    # Take, ask once more, give back.
    assert nth == 4


@pytest.mark.fault("F25")
def test_who_took_a_table_and_never_heard_of_it_gives_it_back(
    leases: Any, s3_endpoint: str
) -> None:
    wire = Wire(s3_endpoint)
    wire.fail_nth(1, "lost")
    with pytest.raises(DynamoDBError), leases(client=wire.client).hold([MAP]):
        raise AssertionError("nothing is held")
    with leases().hold([MAP]):
        pass


def test_more_tables_than_a_transaction_takes_are_held_all_the_same(
    leases: Any, s3_endpoint: str
) -> None:
    wire = Wire(s3_endpoint)
    wire.answer(lambda *_: None)
    tables = [("profile", f"t{number:03}") for number in range(101)]
    with leases(client=wire.client).hold(tables):
        assert wire.calls == ["TransactWriteItems"] * 2
        for table in (tables[0], tables[100]):
            with pytest.raises(TableBusyError), leases().hold([table]):
                pass
    with leases().hold(tables[:100]):
        pass


def test_tables_are_asked_for_in_the_order_of_their_names(leases: Any, s3_endpoint: str) -> None:
    wire, asked = Wire(s3_endpoint), []
    wire.answer(lambda _, request: asked.append(json.loads(request.body)["TransactItems"]))
    with leases(client=wire.client).hold([PROFILES, MAP]):
        pass
    keys = [[one["Put"]["Item"]["sk"]["S"] for one in items] for items in asked[:1]]
    assert keys == [["identity.customer_map", "profile.customer_profiles"]]
