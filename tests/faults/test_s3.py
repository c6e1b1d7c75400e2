"""Faults of S3 and of the network to it, at each call of an extract, until one has none."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from itertools import count as numbers
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from urllib3.exceptions import ProtocolError

from cdp_assets.errors import PlatformError
from cdp_assets.resources.dynamodb_ledger import DynamoDBObjectLedger
from cdp_assets.resources.object_ledger import ObjectLedger, SQLiteObjectLedger
from cdp_assets.resources.object_store import S3ObjectStore, StoreError
from cdp_assets.settings import Limits
from tests.faults.counting import count
from tests.faults.extracting import CONTACTS, crm_lake, outcome
from tests.unit.aws import Fault, Line, client_of, deliver, new_table, refusal, without_pauses
from tests.unit.s3 import REGION, new_bucket, s3_endpoint
from tests.unit.sources.conftest import Lake, crm_csv, crm_row

__all__ = ["s3_endpoint"]

# What an extract of three objects over two that are loaded asks for, at least.
LEAST_CALLS = {"sqlite": 10, "dynamodb": 25}
# Not in `make test`.
HEAVY = (pytest.mark.slow, pytest.mark.faults)
NAMED = r"s3:\w+ on s3://lake-\w+/n\d+/\S* failed: |\(DynamoDB table t-\w+\)"


class World:
    """Lakes in a bucket of their own, each as it is before an extract, and the lines to them."""

    def __init__(self, endpoint: str, folder: Path, ledger: str) -> None:
        self.endpoint = endpoint
        self.ledger = ledger
        self.bucket = new_bucket(endpoint)
        self._folder = folder
        self._s3 = client_of("s3", endpoint)
        self._dynamodb = client_of("dynamodb", endpoint, retries={"mode": "standard"})
        self._table = new_table(self._dynamodb) if ledger == "dynamodb" else ""
        self._names = (f"n{number}" for number in numbers())
        crm_lake(self._store("start"), self._ledger("start"))
        self._items = self._dynamodb.scan(TableName=self._table)["Items"] if self._table else []
        lake, _ = self.lake()
        lake.extract_day()
        self.undisturbed = outcome(lake)

    def lake(self) -> tuple[Lake, Line]:
        """A lake as it is before the extract, and the line that its calls go over."""
        name = next(self._names)
        for item in self._s3.list_objects_v2(Bucket=self.bucket, Prefix="start/")["Contents"]:
            source = {"Bucket": self.bucket, "Key": item["Key"]}
            key = item["Key"].replace("start", name, 1)
            self._s3.copy_object(Bucket=self.bucket, Key=key, CopySource=source)
        store, clients = self._store(name), [self._dynamodb]
        if self._table:
            clients = [client_of("dynamodb", self.endpoint, retries={"mode": "standard"})]
            for item in self._items:
                moved = {**item, "pk": {"S": item["pk"]["S"].replace("start", name, 1)}}
                self._dynamodb.put_item(TableName=self._table, Item=moved)
        else:
            shutil.copy(self._folder / "start.sqlite", self._folder / f"{name}.sqlite")
        lake = Lake(CONTACTS, store, self._ledger(name, *clients), Limits())
        return lake, Line(store._client, *clients)

    def uploads_left(self) -> list[str]:
        """Multipart uploads that nobody ended."""
        found = self._s3.list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def _store(self, name: str) -> S3ObjectStore:
        return S3ObjectStore(self.bucket, name, REGION, self.endpoint)

    def _ledger(self, name: str, client: Any = None) -> ObjectLedger:
        if self._table:
            return DynamoDBObjectLedger(client or self._dynamodb, self._table, name)
        return SQLiteObjectLedger(self._folder / f"{name}.sqlite")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("cdp_assets.resources.object_store", "cdp_assets.resources.dynamodb")
    without_pauses(monkeypatch, *ours)


@pytest.fixture(scope="module")
def worlds(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], World]:
    return cache(lambda ledger: World(s3_endpoint, tmp_path_factory.mktemp(ledger), ledger))


@pytest.fixture
def world(worlds: Callable[[str], World]) -> World:
    return worlds("sqlite")


def extract_until_it_works(lake: Lake) -> list[str]:
    """Extract the day, plainly again while it fails; what it failed of."""
    errors: list[str] = []
    while len(errors) < 3:
        try:
            lake.extract_day()
        except PlatformError as error:
            errors.append(str(error))
        else:
            break
    return errors


def slow(*values: object) -> Any:
    return pytest.param(*values, marks=HEAVY)


@pytest.mark.fault("F24", "F25")
@pytest.mark.parametrize(
    ("ledger", "fault", "for_good", "step"),
    [
        ("sqlite", "503", True, 2),
        ("sqlite", "lost", False, 2),
        slow("sqlite", "lost", True, 1),
        slow("sqlite", "500", True, 1),
        slow("sqlite", "reset", True, 1),
        slow("sqlite", "timeout", True, 1),
        slow("sqlite", "503", False, 1),
        slow("dynamodb", "lost", True, 1),
        slow("dynamodb", "lost", False, 6),
    ],
)
def test_an_extract_gives_the_same_whichever_call_fails(
    worlds: Callable[[str], World], ledger: str, fault: Fault, for_good: bool, step: int
) -> None:
    world, nth, runs, spoilt = worlds(ledger), 0, 0, 0
    for nth in numbers(1, step):
        lake, line = world.lake()
        line.fail_nth(nth, fault, for_good=for_good)
        errors = extract_until_it_works(lake)
        line.fail_nth(0, fault)
        assert outcome(lake) == world.undisturbed, (nth, errors)
        if not line.spoilt:
            break
        runs, spoilt = runs + 1, spoilt + line.spoilt
        assert len(errors) == for_good, (nth, errors)
        assert all(re.search(NAMED, error) for error in errors), errors
        assert "\n" not in "".join(errors)
    assert world.uploads_left() == []
    assert nth > LEAST_CALLS[ledger]
    count("nth-call runs", runs)
    count("lost responses", spoilt if fault == "lost" else 0)


PARTS = bytes(9 << 20)


@pytest.mark.fault("F24", "F25")
@pytest.mark.parametrize("for_good", [True, False])
@pytest.mark.parametrize("fault", ["500", "lost"])
def test_an_object_sent_in_parts_is_whole_or_not_there_whichever_call_fails(
    s3_endpoint: str, fault: Fault, for_good: bool
) -> None:
    bucket, nth, client = new_bucket(s3_endpoint), 0, client_of("s3", s3_endpoint)
    for nth in numbers(1):
        store = S3ObjectStore(bucket, f"n{nth}", REGION, s3_endpoint)
        line = Line(store._client)
        line.fail_nth(nth, fault, for_good=for_good)
        told = r"s3:PutObject on s3://\S+/raw/x failed: "
        with pytest.raises(StoreError, match=told) if for_good and nth < 5 else nullcontext():
            send(store)
        failed = line.calls[nth - 1 : nth]
        line.fail_nth(0, fault)
        if for_good:
            send(store)
        assert store.head("raw/x").size == len(PARTS)
        left = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        for upload in left:
            key = {"Bucket": bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
            client.abort_multipart_upload(**key)
        # Whose beginning was never heard of nobody can end, but the bucket's own rule.
        assert bool(left) == (failed == ["CreateMultipartUpload"] and fault == "lost")
        if not line.spoilt:
            break
        count("lost responses", line.spoilt if fault == "lost" else 0)
    # Begin, two parts, put together.
    assert nth == 5
    count("nth-call runs", nth)


def send(store: S3ObjectStore) -> None:
    with store.open_writer("raw/x") as handle:
        handle.write(PARTS)


class Bent:
    """The body of an answer, as a bad network brings it.

    Args:
        body: the whole of it.
        piece: bytes that come at once, at most.
        cut: bytes after which nothing comes.
        error: how the connection breaks there; without one it only ends.
    """

    def __init__(self, body: bytes, piece: int, cut: int, error: Exception | None) -> None:
        self._body = io.BytesIO(body[:cut])
        self._piece = piece
        self._error = error if cut < len(body) else None

    def read(self, amount: int | None = None) -> bytes:
        block = self._body.read(min(amount or self._piece, self._piece))
        if not block and self._error:
            raise self._error
        return block

    def close(self) -> None:
        self._body.close()


def bent(
    cuts: Iterator[int], piece: int = 1 << 20, error: Exception | None = None
) -> Callable[[int, Any], AWSResponse | None]:
    """Spoil each download of a landing object, cut after so many bytes."""

    def answer(_: int, request: Any) -> AWSResponse | None:
        if request.method != "GET" or "/landing/" not in request.url or "list-type" in request.url:
            return None
        whole = deliver(request)
        cut = next(cuts, 1 << 30)
        whole.raw = Bent(whole.raw.read(), piece, cut, error)  # pyright: ignore[reportAttributeAccessIssue]
        return whole

    return answer


@pytest.mark.fault("F24")
def test_a_network_that_brings_a_kilobyte_at_a_time_only_takes_longer(world: World) -> None:
    lake, line = world.lake()
    line.answer(bent(iter(()), piece=1 << 10))
    lake.extract_day()
    assert outcome(lake) == world.undisturbed
    assert line.spoilt == 3


@pytest.mark.fault("F24")
@pytest.mark.parametrize("error", [ProtocolError("reset"), None], ids=["broken", "short"])
def test_an_object_is_read_to_its_end_wherever_the_connection_breaks(
    world: World, error: Exception | None
) -> None:
    for place in (0, 1, 100, 250):
        lake, line = world.lake()
        line.answer(bent(iter([place] * 4), error=error, piece=300))
        lake.extract_day()
        assert outcome(lake) == world.undisturbed
        assert line.spoilt > 3
        count("nth-call runs", 1)


@pytest.mark.fault("F24")
def test_an_object_that_never_comes_whole_is_an_error_that_names_it(world: World) -> None:
    lake, line = world.lake()
    line.answer(bent(repeat(0), error=ProtocolError("reset")))
    with pytest.raises(StoreError, match=r"s3:GetObject on s3://\S+/landing/\S+\.csv failed: no"):
        lake.extract_day()
    line.fail_nth(0, "503")
    lake.extract_day()
    assert outcome(lake) == world.undisturbed


@pytest.mark.fault("F06", "F24")
def test_nothing_is_put_together_of_two_versions_of_an_object(world: World) -> None:
    lake, line = world.lake()
    key = "landing/crm/contacts/dt=2026-03-01/a.csv"

    def overwritten(_: int, request: Any) -> AWSResponse | None:
        if request.method == "GET" and request.url.endswith("/a.csv") and not line.spoilt:
            whole = deliver(request)
            whole.raw = Bent(whole.raw.read(), 100, 100, None)  # pyright: ignore[reportAttributeAccessIssue]
            lake.store.write(key, crm_csv(crm_row(5)))
            return whole
        return None

    line.answer(overwritten)
    assert lake.extract_day().problems[0] == f"{key} was written to while it was read: next time."
    lake.extract_day()
    of_key = [row for row in outcome(lake)["raw"] if row["_object_key"] == key]
    assert [row["contact_id"] for row in of_key] == ["5"]


@pytest.mark.fault("F28")
@pytest.mark.parametrize(
    ("method", "part", "action"),
    [
        ("PUT", "/quarantine/", "s3:PutObject"),
        ("PUT", "/raw/", "s3:PutObject"),
        ("DELETE", "/quarantine/", "s3:DeleteObject"),
        ("GET", "/a.csv", "s3:GetObject"),
        ("GET", "prefix=", "s3:ListBucket"),
    ],
)
@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "AccessDenied", r"AccessDenied \(role/r may not do it\)\. Let this role do it"),
        (400, "KMS.DisabledException", r"KMS\.DisabledException\. Enable the KMS key"),
        (400, "ExpiredToken", r"ExpiredToken\. The credentials are not valid any more: renew"),
    ],
)
def test_what_is_refused_names_action_and_object_and_is_done_once_it_is_let(
    world: World, method: str, part: str, action: str, status: int, code: str, told: str
) -> None:
    lake, line = world.lake()

    def refuse(_: int, request: Any) -> AWSResponse | None:
        is_hit = request.method == method and part in request.url
        return refusal(request, status, code, "role/r may not do it") if is_hit else None

    line.answer(refuse)
    with pytest.raises(StoreError, match=rf"{action} on s3://\S+ failed: {told}.*, then run"):
        lake.extract_day()
    line.fail_nth(0, "503")
    lake.extract_day()
    assert outcome(lake) == world.undisturbed


@pytest.mark.fault("F28")
@pytest.mark.parametrize("ledger", ["sqlite", slow("dynamodb")])
def test_credentials_may_expire_before_any_call(
    worlds: Callable[[str], World], ledger: str
) -> None:
    world, nth, runs = worlds(ledger), 0, 0
    for nth in numbers(1, 3 if ledger == "sqlite" else 10):
        lake, line = world.lake()
        expired = "ExpiredToken" if ledger == "sqlite" else "ExpiredTokenException"
        line.answer(
            lambda call, asked, nth=nth, code=expired: (
                refusal(asked, 400, code) if call >= nth else None
            )
        )
        errors = extract_until_it_works(lake)
        if not line.spoilt:
            break
        runs += 1
        assert all("renew them, then run again" in error for error in errors)
        line.fail_nth(0, "503")
        lake.extract_day()
        assert outcome(lake) == world.undisturbed, nth
    assert nth > LEAST_CALLS[ledger]
    count("nth-call runs", runs)
