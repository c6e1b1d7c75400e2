"""What the ledger remembers, whichever back end keeps it, and what it refuses to work with."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cdp_assets.resources.dynamodb_ledger import DynamoDBObjectLedger
from cdp_assets.resources.object_ledger import (
    LEDGER_SCHEMA,
    LedgerEntry,
    LedgerError,
    ObjectLedger,
    SQLiteObjectLedger,
    UnknownObject,
    utc_now,
)
from tests.unit.aws import dynamodb, new_table
from tests.unit.s3 import s3_endpoint

__all__ = ["dynamodb", "s3_endpoint"]

KEY = "landing/crm/contacts/dt=2026-03-01/a.csv"


@pytest.fixture(params=["sqlite", "dynamodb"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectLedger:
    if request.param == "sqlite":
        return SQLiteObjectLedger(tmp_path / "state" / "ledger.sqlite")
    client = request.getfixturevalue("dynamodb")
    return DynamoDBObjectLedger(client, new_table(client), "main")


def load(
    ledger: ObjectLedger, key: str = KEY, version: str = "v1", **changes: object
) -> LedgerEntry:
    """Begin and commit one extraction."""
    reservation = ledger.begin(key, version)
    entry = LedgerEntry(
        source="crm",
        entity="contacts",
        dt="2026-03-01",
        object_key=key,
        object_version=version,
        size=10,
        status="loaded",
        load_id=reservation.load_id,
        attempt=reservation.attempt,
        contract_version=1,
        loaded_at=utc_now(),
        records_in=1,
        records_loaded=1,
    )
    entry = replace(entry, **changes)
    ledger.commit(entry)
    return entry


def test_a_new_ledger_knows_nothing(ledger: ObjectLedger) -> None:
    assert ledger.settled([KEY]) == {}
    assert (ledger.max_load_id(), ledger.published_load_id()) == (0, 0)
    assert ledger.rows().schema == LEDGER_SCHEMA
    assert not ledger.needs_full_refresh(0)


def test_of_a_page_of_keys_only_those_that_are_settled_are_told(
    ledger: ObjectLedger,
) -> None:
    keys = [f"landing/crm/contacts/dt=2026-03-01/{name}" for name in ("a'b", "é", "new", "gone")]
    load(ledger, keys[0])
    load(ledger, keys[1], "v1")
    load(ledger, keys[1], "v2")
    load(ledger, keys[3], status="missing")
    load(ledger, "landing/crm/contacts/dt=2026-03-01/not asked for")
    assert ledger.settled(keys) == {keys[0]: ("v1", 1, 1), keys[1]: ("v2", 1, 3)}
    assert ledger.settled([]) == {}
    assert ledger.settled([keys[0], keys[0], "a"]) == {keys[0]: ("v1", 1, 1)}


def test_a_committed_load_is_known_by_its_version_and_contract(ledger: ObjectLedger) -> None:
    entry = load(ledger)
    assert ledger.settled([KEY]) == {KEY: ("v1", 1, entry.load_id)}
    assert ledger.current(KEY) == entry
    assert ledger.rows().to_pylist() == [vars(entry)]


def test_load_ids_grow_over_all_objects_and_are_never_used_twice(
    ledger: ObjectLedger,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        loads = pool.map(lambda i: ledger.begin(f"{i}", "v1").load_id, range(100))
    assert sorted(loads) == list(range(1, 101))


def test_attempts_count_the_extractions_of_one_version(ledger: ObjectLedger) -> None:
    attempts = [ledger.begin(KEY, version).attempt for version in ("v1", "v1", "v2", "v1")]
    assert attempts == [1, 2, 1, 3]


def test_a_newer_version_supersedes_the_older(ledger: ObjectLedger) -> None:
    load(ledger, version="v1")
    load(ledger, version="v2")
    assert [row["status"] for row in ledger.rows().to_pylist()] == ["superseded", "loaded"]
    assert ledger.settled([KEY]) == {KEY: ("v2", 1, 2)}


def test_a_commit_that_comes_late_supersedes_nothing_newer(ledger: ObjectLedger) -> None:
    slow = ledger.begin(KEY, "v1")
    newer = load(ledger, version="v2")
    ledger.commit(replace(newer, object_version="v1", load_id=slow.load_id))
    assert ledger.current(KEY) == newer


@pytest.mark.fault("F25")
def test_a_commit_repeated_is_one_row(ledger: ObjectLedger) -> None:
    older = load(ledger, version="v1")
    newer = load(ledger, version="v2")
    for entry in (older, newer, newer):
        ledger.commit(entry)
    assert [row["load_id"] for row in ledger.rows().to_pylist()] == [1, 2]
    assert ledger.current(KEY) == newer


def test_another_outcome_under_a_load_id_is_refused_and_keeps_nothing(ledger: ObjectLedger) -> None:
    entry = load(ledger)
    with pytest.raises(LedgerError, match=r"Load 1 of .* is in the object ledger already"):
        ledger.commit(replace(entry, records_loaded=0, records_quarantined=1))
    assert ledger.rows().to_pylist() == [vars(entry)]


def test_the_newest_settled_load_is_looked_for_above_another(ledger: ObjectLedger) -> None:
    assert ledger.newest_settled(0) is None
    first, second = load(ledger, "a").load_id, load(ledger, "b").load_id
    load(ledger, "c", status="missing")
    ledger.begin("d", "v1")
    assert [ledger.newest_settled(since) for since in (0, first, second, 9)] == [
        second, second, None, None,
    ]  # fmt: skip


def test_what_was_published_stays_published(ledger: ObjectLedger) -> None:
    for load_id in (5, 3, 5):
        ledger.mark_published(load_id)
    assert ledger.published_load_id() == 5


def test_extractions_of_one_object_side_by_side_leave_the_newest(ledger: ObjectLedger) -> None:
    with ThreadPoolExecutor(4) as pool:
        loads = list(pool.map(lambda i: load(ledger, version=f"v{i}"), range(8)))
    newest = max(loads, key=lambda entry: entry.load_id)
    assert ledger.current(KEY) == newest
    assert ledger.settled([KEY]) == {KEY: (newest.object_version, 1, newest.load_id)}
    statuses = [row["status"] for row in ledger.rows().to_pylist()]
    assert sorted(statuses) == ["loaded"] + ["superseded"] * 7


@pytest.mark.fault("F09")
def test_an_object_gone_missing_leaves_what_was_loaded(ledger: ObjectLedger) -> None:
    loaded = load(ledger)
    load(ledger, status="missing", records_in=0, records_loaded=0)
    assert ledger.current(KEY) == loaded
    assert ledger.settled([KEY]) == {KEY: ("v1", 1, loaded.load_id)}


class TestFullRefresh:
    def test_new_objects_need_none(self, ledger: ObjectLedger) -> None:
        load(ledger)
        load(ledger, key=KEY + "2")
        assert not ledger.needs_full_refresh(0)

    def test_a_replaced_object_needs_one_until_it_is_published(self, ledger: ObjectLedger) -> None:
        load(ledger)
        ledger.mark_published(1)
        assert not ledger.needs_full_refresh(ledger.published_load_id())
        load(ledger, version="v2")
        assert ledger.needs_full_refresh(ledger.published_load_id())
        ledger.mark_published(2)
        assert not ledger.needs_full_refresh(ledger.published_load_id())

    def test_an_extraction_that_was_killed_counts(self, ledger: ObjectLedger) -> None:
        ledger.begin(KEY, "v1")
        load(ledger)
        assert ledger.needs_full_refresh(0)

    def test_an_extraction_that_ends_late_counts_by_what_it_kept(
        self, ledger: ObjectLedger
    ) -> None:
        slow = ledger.begin(KEY, "v1")
        newer = load(ledger, version="v2")
        assert ledger.needs_full_refresh(slow.load_id)
        late = replace(newer, load_id=slow.load_id, object_version="v1", records_loaded=0)
        ledger.commit(replace(late, status="refused"))
        assert not ledger.needs_full_refresh(slow.load_id)

    def test_an_extraction_that_kept_nothing_does_not(self, ledger: ObjectLedger) -> None:
        load(ledger, status="refused", records_loaded=0)
        load(ledger, status="missing", records_loaded=0)
        load(ledger, version="v2")
        assert not ledger.needs_full_refresh(0)


def test_unknown_objects_are_those_of_the_last_look(ledger: ObjectLedger) -> None:
    ledger.replace_unknown("crm", [UnknownObject("landing/crm/x", "why"), UnknownObject("b", "c")])
    ledger.replace_unknown("pos", [UnknownObject("landing/pos/x", "why")])
    ledger.replace_unknown("crm", [UnknownObject("landing/crm/y", "why")])
    assert [found.object_key for found in ledger.unknown()] == ["landing/crm/y", "landing/pos/x"]


class TestDamage:
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SQLiteObjectLedger:
        return SQLiteObjectLedger(tmp_path / "state" / "ledger.sqlite")

    @pytest.mark.parametrize("content", [b"not a database at all, but text" * 100, None])
    def test_a_broken_file_is_named_with_what_to_do(
        self, ledger: SQLiteObjectLedger, tmp_path: Path, content: bytes | None
    ) -> None:
        load(ledger)
        path = tmp_path / "state" / "ledger.sqlite"
        path.write_bytes(content or path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(LedgerError, match=r"ledger\.sqlite is damaged .* run `cdp doctor`"):
            ledger.rows()

    def test_a_file_of_a_newer_release_is_refused(
        self, ledger: SQLiteObjectLedger, tmp_path: Path
    ) -> None:
        load(ledger)
        with sqlite3.connect(tmp_path / "state" / "ledger.sqlite") as connection:
            connection.execute("pragma user_version = 99")
        with pytest.raises(LedgerError, match="schema 99"):
            ledger.max_load_id()

    @pytest.mark.fault("F29")
    def test_a_place_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "ledger.sqlite").mkdir()
        with pytest.raises(LedgerError, match="cannot be used"):
            SQLiteObjectLedger(tmp_path / "ledger.sqlite").rows()
