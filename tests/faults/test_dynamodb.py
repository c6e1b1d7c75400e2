"""Faults of DynamoDB at each call on the checkpoints of a stream and on the leases of tables.

The ledger and the profile store are gone through in `tests/unit/resources/test_dynamodb_faults.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count as numbers
from typing import Any

import pytest

from cdp_assets.errors import PlatformError
from cdp_assets.resources.checkpoints import Batch, Checkpoint, DynamoDBCheckpoints, Shard
from cdp_assets.resources.leases import DynamoDBLeases, Pace
from tests.faults.counting import count
from tests.unit.aws import FAULTS, Fault, Line, Wire, dynamodb, new_table, without_pauses
from tests.unit.s3 import REGION, s3_endpoint

__all__ = ["dynamodb", "s3_endpoint"]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch, "cdp_assets.resources.dynamodb")


@pytest.fixture
def table(dynamodb: Any) -> str:
    name = "checkpoints-of-faults"
    if name not in dynamodb.list_tables()["TableNames"]:
        keys = {"stream": "HASH", "shard": "RANGE"}
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    return name


def again_where_it_fails(call: Callable[[], object]) -> int:
    """Make a call, and plainly again where it fails; how often it failed."""
    errors: list[str] = []
    while len(errors) < 3:
        try:
            call()
        except PlatformError as error:
            errors.append(str(error))
        else:
            break
    told = ("then run again", "CDP_CHECKPOINT_TABLE")
    assert all(any(part in error for part in told) for error in errors), errors
    return len(errors)


@pytest.mark.fault("F24", "F25", "F26")
@pytest.mark.parametrize("for_good", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_shard_is_landed_once_whichever_call_fails(
    fault: Fault, for_good: bool, table: str, s3_endpoint: str
) -> None:
    nth = 0
    for nth in numbers(1):
        checkpoints = DynamoDBCheckpoints(table, REGION, s3_endpoint)
        shard = Shard(f"{fault}{for_good}", f"{nth}")
        line = Line(checkpoints._client)
        line.fail_nth(nth, fault, for_good=for_good)
        calls = (
            lambda c=checkpoints, s=shard: c.claim(s, "me", 100, 160),
            lambda c=checkpoints, s=shard: c.intend(s, "me", Batch("one", "7")),
            lambda c=checkpoints, s=shard: c.advance(s, "me", "7"),
            lambda c=checkpoints, s=shard: c.release(s, "me"),
            lambda c=checkpoints, s=shard: c.claim(s, "you", 100, 160),
            lambda c=checkpoints, s=shard: c.intend(s, "you", Batch("two", "9")),
            lambda c=checkpoints, s=shard: c.advance(s, "you", "9"),
            lambda c=checkpoints, s=shard: c.finish(s, "you"),
        )
        failed = sum(again_where_it_fails(call) for call in calls)
        if not line.spoilt:
            break
        assert failed == for_good
        line.fail_nth(0, fault)
        assert checkpoints.read(shard) == Checkpoint("9", is_done=True)
        count("lost responses", line.spoilt if fault == "lost" else 0)
    assert nth == 9
    count("nth-call runs", nth - 1)


@pytest.mark.fault("F25", "F26", "F30")
@pytest.mark.parametrize("fault", FAULTS)
def test_tables_are_free_again_whichever_call_of_their_holder_fails_for_good(
    fault: Fault, dynamodb: Any, s3_endpoint: str
) -> None:
    name, nth = new_table(dynamodb), 0
    tables = [("identity", "customer_map"), ("profile", "customer_profiles")]
    pace = Pace(lease=0.3, beat=60, patience=5, poll=0.02)
    for nth in numbers(1):
        wire = Wire(s3_endpoint)
        wire.fail_nth(nth, fault)
        written: list[int] = []

        def step(wire: Wire = wire, written: list[int] = written) -> None:
            with DynamoDBLeases(wire.client, name, "main", pace).hold(tables):
                written.append(1)

        failed = again_where_it_fails(step)
        if not wire.spoilt:
            break
        assert failed == 1
        # What a step did before it was told that it may not have been alone, it does again.
        assert len(written) in (1, 2)
        count("lost responses", wire.spoilt if fault == "lost" else 0)
    # Take, ask once more, give back.
    assert nth == 4
    count("nth-call runs", nth - 1)
