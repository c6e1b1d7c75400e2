"""One set of promises about places and leases, kept by a file and by DynamoDB over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cdp_assets.resources.build import build_checkpoints
from cdp_assets.resources.checkpoints import (
    Batch,
    Checkpoint,
    Checkpoints,
    CheckpointsError,
    DynamoDBCheckpoints,
    LeaseLostError,
    Shard,
    SQLiteCheckpoints,
)
from cdp_assets.settings import load_settings
from tests.unit.s3 import REGION, s3_endpoint
from tests.unit.streaming import make_checkpoint_table

__all__ = ["s3_endpoint"]

SHARD = Shard("web-events/web/events", "shardId-000000000000")
BATCH = Batch("landing/web/events/dt=2026-03-01/k", "7")
# Longer than a number of DynamoDB may be, and shorter than the next one.
SMALL, LARGE = "9" * 55, "1" + "0" * 55


@pytest.fixture(params=["sqlite", "dynamodb"])
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoints:
    if request.param == "sqlite":
        return SQLiteCheckpoints(tmp_path / "state" / "checkpoints.sqlite")
    endpoint = request.getfixturevalue("s3_endpoint")
    return DynamoDBCheckpoints(make_checkpoint_table(endpoint), REGION, endpoint)


@pytest.fixture
def held(checkpoints: Checkpoints) -> Checkpoints:
    """Checkpoints whose shard `a` holds from 100 until 160."""
    assert checkpoints.claim(SHARD, "a", 100, 160) == Checkpoint()
    return checkpoints


def test_a_shard_that_nobody_read_is_at_its_beginning(checkpoints: Checkpoints) -> None:
    assert checkpoints.read(SHARD) == Checkpoint()


def test_a_place_is_kept_for_whoever_comes_next(held: Checkpoints) -> None:
    held.intend(SHARD, "a", BATCH)
    assert held.read(SHARD) == Checkpoint("", BATCH)
    held.advance(SHARD, "a", "7")
    held.release(SHARD, "a")
    assert held.claim(SHARD, "b", 101, 161) == Checkpoint("7")
    assert held.read(Shard(SHARD.stream, "another")) == Checkpoint()
    assert held.read(Shard("another", SHARD.name)) == Checkpoint()


def test_one_reader_holds_a_shard_until_it_was_not_heard_of_for_its_lease(
    held: Checkpoints,
) -> None:
    assert held.claim(SHARD, "b", 159, 219) is None
    assert held.claim(SHARD, "a", 150, 210) is not None
    assert held.claim(SHARD, "b", 161, 221) is None
    assert held.claim(SHARD, "b", 210, 270) is not None
    assert held.claim(SHARD, "a", 211, 271) is None


def test_a_reader_that_lost_its_shard_changes_nothing(held: Checkpoints) -> None:
    held.intend(SHARD, "a", BATCH)
    assert held.claim(SHARD, "b", 200, 260) == Checkpoint("", BATCH)
    changes = [
        lambda: held.intend(SHARD, "a", Batch("other", "9")),
        lambda: held.advance(SHARD, "a", "9"),
        lambda: held.finish(SHARD, "a"),
        lambda: held.release(SHARD, "a"),
    ]
    for change in changes:
        with pytest.raises(LeaseLostError):
            change()
    assert held.read(SHARD) == Checkpoint("", BATCH)


def test_a_place_never_moves_back_and_numbers_are_compared_as_numbers(held: Checkpoints) -> None:
    held.advance(SHARD, "a", SMALL)
    held.advance(SHARD, "a", LARGE)
    held.advance(SHARD, "a", SMALL)
    assert held.read(SHARD) == Checkpoint(LARGE)


@pytest.mark.fault("F25")
def test_a_change_that_was_made_already_can_be_made_again(held: Checkpoints) -> None:
    for _ in range(2):
        held.intend(SHARD, "a", BATCH)
    for _ in range(2):
        held.advance(SHARD, "a", BATCH.last)
    assert held.read(SHARD) == Checkpoint("7")


def test_a_shard_that_is_done_stays_done(held: Checkpoints) -> None:
    held.advance(SHARD, "a", "7")
    held.finish(SHARD, "a")
    assert held.claim(SHARD, "b", 101, 161) == Checkpoint("7", is_done=True)


def test_of_many_that_claim_at_once_one_gets_the_shard(checkpoints: Checkpoints) -> None:
    def claim(owner: int) -> bool:
        return checkpoints.claim(SHARD, str(owner), 100, 160) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(16))) == 1


@pytest.mark.fault("F28")
def test_what_cannot_be_used_is_said_plainly(s3_endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointsError, match="CDP_CHECKPOINT_TABLE"):
        DynamoDBCheckpoints("nowhere", REGION, s3_endpoint).read(SHARD)
    (tmp_path / "broken").write_text("no database " * 100)
    with pytest.raises(CheckpointsError, match="cannot be used"):
        SQLiteCheckpoints(tmp_path / "broken").read(SHARD)


def test_each_profile_keeps_its_places_where_it_should(tmp_path: Path) -> None:
    local = load_settings({"CDP_HOME": str(tmp_path)})
    assert isinstance(build_checkpoints(local), SQLiteCheckpoints)
    aws = load_settings(
        {
            "CDP_PROFILE": "aws",
            "CDP_LAKE_URL": "s3://b",
            "AWS_REGION": "eu-central-1",
            "CDP_TENANT": "acme",
        }
    )
    assert isinstance(build_checkpoints(aws), DynamoDBCheckpoints)
    assert aws.checkpoint_table == "cdp-acme-checkpoints"
    assert list(tmp_path.iterdir()) == []
