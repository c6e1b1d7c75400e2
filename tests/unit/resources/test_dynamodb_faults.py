"""What DynamoDB, the network and other writers do to the stores, over HTTP."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from cdp_assets.resources.dynamodb import DynamoDBError, Table, table_definition
from cdp_assets.resources.dynamodb_ledger import DynamoDBObjectLedger
from cdp_assets.resources.dynamodb_profiles import DynamoDBProfileStore
from cdp_assets.resources.object_ledger import LedgerEntry, ObjectLedger, UnknownObject, utc_now
from cdp_assets.resources.profile_store import Entry, Origin
from tests.faults import counting
from tests.unit.aws import FAULTS, Fault, Wire, dynamodb, new_table, response, without_pauses
from tests.unit.s3 import s3_endpoint

__all__ = ["dynamodb", "s3_endpoint"]

KEY = "landing/crm/contacts/dt=2026-03-01/a.csv"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch, "cdp_assets.resources.dynamodb")


@pytest.fixture
def wire(s3_endpoint: str) -> Wire:
    return Wire(s3_endpoint)


def entry(load_id: int, attempt: int, version: str) -> LedgerEntry:
    return LedgerEntry(
        source="crm",
        entity="contacts",
        dt="2026-03-01",
        object_key=KEY,
        object_version=version,
        size=10,
        status="loaded",
        load_id=load_id,
        attempt=attempt,
        contract_version=1,
        loaded_at=utc_now(),
        records_in=1,
        records_loaded=1,
    )


def work(ledger: ObjectLedger, version: str) -> LedgerEntry:
    """One version of the object, from begin to published."""
    reservation = ledger.begin(KEY, version)
    committed = entry(reservation.load_id, reservation.attempt, version)
    ledger.commit(committed)
    ledger.replace_unknown("crm", [UnknownObject(version, "why")])
    ledger.mark_published(reservation.load_id)
    return committed


@pytest.mark.fault("F24", "F25", "F26")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_ledger_is_right_whichever_call_fails_and_is_made_again(
    fault: Fault, dynamodb: Any, s3_endpoint: str
) -> None:
    name = new_table(dynamodb)
    wire, nth = Wire(s3_endpoint, retries=2), 0
    for nth in count(1):
        ledger = DynamoDBObjectLedger(wire.client, name, f"tenant{nth}")
        wire.fail_nth(0, fault)
        first = work(ledger, "v1")
        wire.fail_nth(nth, fault)
        second = work(ledger, "v2")
        if nth > len(wire.calls):
            break
        wire.fail_nth(0, fault)
        rows = ledger.rows().to_pylist()
        assert [row["load_id"] for row in rows] == [first.load_id, second.load_id]
        assert [row["status"] for row in rows] == ["superseded", "loaded"]
        assert [row["attempt"] for row in rows] == [1, 1]
        assert ledger.settled([KEY]) == {KEY: ("v2", 1, second.load_id)}
        assert ledger.current(KEY) == second
        assert ledger.needs_full_refresh(first.load_id)
        assert not ledger.needs_full_refresh(second.load_id)
        assert ledger.published_load_id() == second.load_id
        assert ledger.unknown() == [UnknownObject("v2", "why")]
        count_run(fault)
    assert nth > 10


@pytest.mark.fault("F25", "F26")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_that_failed_for_good_is_done_again_from_its_start(
    fault: Fault, dynamodb: Any, wire: Wire
) -> None:
    ledger = DynamoDBObjectLedger(wire.client, new_table(dynamodb), "main")
    reservation = ledger.begin(KEY, "v1")
    committed = entry(reservation.load_id, reservation.attempt, "v1")
    for nth in count(1):
        wire.fail_nth(nth, fault)
        try:
            ledger.commit(committed)
            break
        except DynamoDBError:
            count_run(fault)
            continue
    wire.fail_nth(0, fault)
    assert ledger.rows().to_pylist() == [vars(committed)]
    assert ledger.current(KEY) == committed


@pytest.mark.fault("F24", "F25", "F26")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("retries", [1, 2])
def test_profiles_are_right_whichever_call_fails_and_is_made_again(
    fault: Fault, retries: int, dynamodb: Any, s3_endpoint: str
) -> None:
    name, wire = new_table(dynamodb), Wire(s3_endpoint, retries)
    x, y, z = (letter * 32 for letter in (b"x", b"y", b"z"))
    before = [_profile("a", "1", x, y), _profile("b", "1", z), _profile("c", "1")]
    after = [Entry("a", "redirect", "b", "b"), _profile("b", "2", x, z), Entry("c", "gone")]
    for nth in count(1):
        store = DynamoDBProfileStore(wire.client, name, f"tenant{nth}")
        wire.fail_nth(0, fault)
        store.write(Origin(store.begin_sync(), 1, "first"), before)
        wire.fail_nth(nth, fault)
        _until_it_works(store, after)
        if nth > len(wire.calls):
            break
        wire.fail_nth(0, fault)
        found = {each: store.get(each) for each in "abc"}
        assert {each: hit.document for each, hit in found.items() if hit} == {"a": "2", "b": "2"}
        owners = [store.find(each) for each in (x, y, z)]
        assert [hit.customer_id if hit else None for hit in owners] == ["b", None, "b"]
        held = sorted((row["customer_id"], row["kind"]) for row in store.held().to_pylist())
        assert held == [("a", "redirect"), ("b", "profile")]
        assert store.count() == 1
        count_run(fault)


@pytest.mark.fault("F26")
def test_a_newer_run_that_comes_in_between_is_not_overwritten(
    dynamodb: Any, s3_endpoint: str
) -> None:
    name, wire = new_table(dynamodb), Wire(s3_endpoint)
    x = b"x" * 32
    for nth in range(1, 5):
        newer = DynamoDBProfileStore(dynamodb, name, f"tenant{nth}")
        older = DynamoDBProfileStore(wire.client, name, f"tenant{nth}")
        newer.write(Origin(1, 1, "first"), [_profile("a", "0", x), _profile("b", "0")])

        def interrupt(call: int, request: Any, nth: int = nth, store: Any = newer) -> None:
            if call == nth:
                entries = [Entry("a", "gone"), _profile("b", "new", x)]
                assert store.write(Origin(3, 3, "newer"), entries).written == 2

        wire.answer(interrupt)
        older.write(Origin(2, 2, "older"), [_profile("a", "old", x), _profile("b", "old")])
        assert len(wire.calls) >= nth
        assert newer.get("a") is None
        kept, owner = newer.get("b"), newer.find(x)
        assert kept is not None
        assert (kept.document, owner) == ("new", kept)
        assert [row["customer_id"] for row in newer.held().to_pylist()] == ["b"]


@pytest.mark.fault("F26")
def test_what_a_batch_leaves_over_is_sent_again(dynamodb: Any, wire: Wire) -> None:
    name = new_table(dynamodb)
    table = Table(wire.client, name, "table")
    items = [{"pk": "a", "sk": f"{i:03}", "n": i} for i in range(60)]

    def half_done(call: int, request: Any) -> Any:
        # The server is told nothing the first three times, and says so.
        if call > 3:
            return None
        return response(request, 200, {"UnprocessedItems": {name: _sent(request, name)}})

    wire.answer(half_done)
    table.put_all(items)
    assert list(table.query("a")) == items
    assert len(wire.calls) > 3 + 3

    def half_read(call: int, request: Any) -> Any:
        if call > 1:
            return None
        keys = {name: {"Keys": _sent(request, name)["Keys"]}}
        return response(request, 200, {"Responses": {}, "UnprocessedKeys": keys})

    wire.answer(half_read)
    found = table.get_many([("a", f"{i:03}") for i in range(70)], ["n"])
    assert [item["n"] for item in found.values()] == list(range(60))


@pytest.mark.fault("F26")
def test_a_batch_that_never_gets_through_is_an_error(dynamodb: Any, wire: Wire) -> None:
    name = new_table(dynamodb)
    wire.answer(
        lambda _, request: response(
            request, 200, {"UnprocessedItems": {name: _sent(request, name)}}
        )
    )
    with pytest.raises(DynamoDBError, match="left items unwritten after 12 attempts"):
        Table(wire.client, name, "table").put_all([{"pk": "a", "sk": "b"}])


def test_a_partition_of_many_pages_is_read_whole(dynamodb: Any, wire: Wire) -> None:
    name = new_table(dynamodb)
    keys = [f"{i:04}/{'x' * 900}" for i in range(1500)]
    Table(dynamodb, name, "table").put_all({"pk": "partition", "sk": key} for key in keys)
    wire.answer(lambda *_: None)
    found = Table(wire.client, name, "table").query("partition")
    assert [item["sk"] for item in found] == keys
    assert wire.calls.count("Query") > 1
    assert set(wire.calls) == {"Query"}


def test_tenants_in_one_table_do_not_see_each_other(dynamodb: Any) -> None:
    name = new_table(dynamodb)
    ours, theirs = (DynamoDBObjectLedger(dynamodb, name, each) for each in ("a", "a_b"))
    work(ours, "v1")
    assert theirs.rows().num_rows == 0
    assert (theirs.max_load_id(), theirs.published_load_id(), theirs.unknown()) == (0, 0, [])


def test_a_table_that_is_not_there_is_named(dynamodb: Any) -> None:
    with pytest.raises(DynamoDBError, match=r"object ledger \(.* table gone\) does not exist"):
        DynamoDBObjectLedger(dynamodb, "gone", "main").rows()


@pytest.mark.fault("F28")
def test_a_denial_says_what_was_denied(dynamodb: Any, wire: Wire) -> None:
    told = {"__type": "AccessDeniedException", "Message": "no dynamodb:GetItem on table/t"}
    wire.answer(lambda _, request: response(request, 400, told))
    with pytest.raises(DynamoDBError, match="closed to this role: no dynamodb:GetItem on table/t"):
        DynamoDBObjectLedger(wire.client, "t", "main").max_load_id()


def test_a_table_is_encrypted_recoverable_and_guarded(dynamodb: Any) -> None:
    name = new_table(dynamodb)
    made = dynamodb.describe_table(TableName=name)["Table"]
    assert made["SSEDescription"]["SSEType"] == "KMS"
    assert table_definition(name, "key")["SSESpecification"]["KMSMasterKeyId"] == "key"
    assert table_definition(name)["DeletionProtectionEnabled"]
    backups = dynamodb.describe_continuous_backups(TableName=name)
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert expiry == {"AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED"}


def count_run(fault: Fault) -> None:
    counting.count("nth-call runs", 1)
    counting.count("lost responses", int(fault == "lost"))


def _profile(customer_id: str, document: str, *aliases: bytes) -> Entry:
    return Entry(customer_id, "profile", document, document, aliases)


def _until_it_works(store: DynamoDBProfileStore, entries: list[Entry]) -> None:
    """Sync these entries; from the start, under a new number, while a call of it fails."""
    try:
        written = store.write(Origin(store.begin_sync(), 2, "second"), entries)
    except DynamoDBError:
        _until_it_works(store, entries)
    else:
        assert written.written == len(entries)


def _sent(request: Any, table: str) -> Any:
    return json.loads(request.body)["RequestItems"][table]
