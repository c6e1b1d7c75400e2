"""What the profile store finds, whichever back end keeps it, and what it never overwrites."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cdp_assets.resources.dynamodb_profiles import DynamoDBProfileStore
from cdp_assets.resources.profile_store import (
    HELD_SCHEMA,
    MAX_BYTES,
    Entry,
    Origin,
    ProfileStore,
    ProfileStoreError,
    SQLiteProfileStore,
)
from tests.unit.aws import dynamodb, new_table
from tests.unit.s3 import s3_endpoint

__all__ = ["dynamodb", "s3_endpoint"]

X, Y = b"x" * 32, b"y" * 32


@pytest.fixture(params=["sqlite", "dynamodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ProfileStore:
    if request.param == "sqlite":
        return SQLiteProfileStore(tmp_path / "profiles.sqlite")
    client = request.getfixturevalue("dynamodb")
    return DynamoDBProfileStore(client, new_table(client), "main")


def origin(sync_number: int) -> Origin:
    return Origin(sync_number, load_id=10 * sync_number, run_id=f"run-{sync_number}")


def profile(customer_id: str, document: str = "{}", *aliases: bytes) -> Entry:
    return Entry(customer_id, "profile", f"hash of {document}", document, aliases)


def redirect(old: str, new: str) -> Entry:
    return Entry(old, "redirect", new, new)


def found(store: ProfileStore, name: str | bytes) -> str | None:
    stored = store.get(name) if isinstance(name, str) else store.find(name)
    return stored.customer_id if stored else None


def test_a_new_store_finds_nobody(store: ProfileStore) -> None:
    assert (found(store, "a"), found(store, X), store.count()) == (None, None, 0)
    assert store.held().schema == HELD_SCHEMA
    assert store.held().num_rows == 0


def test_sync_numbers_grow(store: ProfileStore) -> None:
    assert [store.begin_sync() for _ in range(3)] == [1, 2, 3]


def test_the_newest_sync_says_which_version_is_there_whole(store: ProfileStore) -> None:
    assert store.synced_version() == ""
    store.mark_synced(origin(2), "second")
    store.mark_synced(origin(1), "first")
    assert store.synced_version() == "second"
    store.mark_synced(origin(3), "third")
    assert store.synced_version() == "third"


def test_a_profile_is_found_by_its_id_and_its_aliases_and_says_who_wrote_it(
    store: ProfileStore,
) -> None:
    written = store.write(origin(1), [profile("a", '{"n": 1}', X, Y), profile("b")])
    assert (written.written, written.refused, written.outdated) == (2, (), ())
    for stored in (store.get("a"), store.find(X), store.find(Y)):
        assert stored is not None
        assert (stored.customer_id, stored.document) == ("a", '{"n": 1}')
        assert stored.origin == origin(1)
    assert store.count() == 2


def test_an_old_id_leads_to_the_customer_it_lives_on_in(store: ProfileStore) -> None:
    store.write(origin(1), [profile("a", "{}", X), profile("b", "{}", Y)])
    store.write(origin(2), [redirect("a", "b"), profile("b", "{}", X, Y)])
    assert [found(store, name) for name in ("a", "b", X, Y)] == ["b"] * 4
    assert store.count() == 1


def test_an_old_id_of_somebody_gone_is_not_found(store: ProfileStore) -> None:
    store.write(origin(1), [redirect("a", "b"), profile("b")])
    store.write(origin(2), [Entry("b", "gone")])
    assert [found(store, name) for name in ("a", "b")] == [None, None]


def test_what_is_held_is_what_was_written_and_is_not_gone(store: ProfileStore) -> None:
    store.write(origin(1), [profile("a"), redirect("b", "a"), profile("c")])
    store.write(origin(2), [Entry("c", "gone")])
    rows = {(row["customer_id"], row["kind"], row["content_hash"]) for row in _rows(store)}
    assert rows == {("a", "profile", "hash of {}"), ("b", "redirect", "a")}


def test_a_profile_that_is_gone_leaves_nothing_to_read(store: ProfileStore) -> None:
    store.write(origin(1), [profile("a", "{}", X)])
    store.write(origin(2), [Entry("a", "gone")])
    assert [found(store, name) for name in ("a", X)] == [None, None]
    assert store.count() == 0


def test_an_alias_that_is_taken_away_leads_nowhere(store: ProfileStore) -> None:
    store.write(origin(1), [profile("a", "{}", X, Y)])
    store.write(origin(2), [profile("a", "{}", Y)])
    assert [found(store, name) for name in (X, Y)] == [None, "a"]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_an_alias_that_changes_hands_leads_to_the_new_customer(
    store: ProfileStore, order: list[int]
) -> None:
    store.write(origin(1), [profile("a", "{}", X), profile("b", "{}")])
    after = [profile("a", "{}"), profile("b", "{}", X)]
    for place in order:
        store.write(origin(2), [after[place]])
    assert found(store, X) == "b"


@pytest.mark.fault("F26")
def test_an_older_run_never_overwrites_a_newer_one(store: ProfileStore) -> None:
    old, new = origin(store.begin_sync()), origin(store.begin_sync())
    store.write(new, [profile("a", '{"new": 1}', X), Entry("gone", "gone")])
    late = store.write(old, [profile("a", '{"old": 1}', Y), profile("gone"), profile("c")])
    assert sorted(late.outdated) == ["a", "gone"]
    assert late.written == 1
    stored = store.get("a")
    assert stored is not None
    assert (stored.document, stored.origin.sync_number) == ('{"new": 1}', 2)
    assert [found(store, name) for name in (X, Y, "gone", "c")] == ["a", None, None, "c"]
    assert {row["customer_id"] for row in _rows(store)} == {"a", "c"}


@pytest.mark.fault("F26")
def test_an_older_run_does_not_take_an_alias_back(store: ProfileStore) -> None:
    old, new = origin(1), origin(2)
    store.write(old, [profile("a", "{}", X), profile("b")])
    store.write(new, [profile("a"), profile("b", "{}", X)])
    store.write(old, [profile("a", "{}", X)])
    assert found(store, X) == "b"


@pytest.mark.fault("F25")
def test_writing_the_same_again_changes_nothing(store: ProfileStore) -> None:
    entries = [profile("a", "{}", X), redirect("b", "a"), Entry("c", "gone")]
    for _ in range(2):
        assert store.write(origin(1), entries).written == 3
    assert [found(store, name) for name in ("a", "b", "c", X)] == ["a", "a", None, "a"]
    assert store.count() == 1


@pytest.mark.fault("F26")
def test_a_profile_that_is_too_large_is_refused_and_the_rest_lands(store: ProfileStore) -> None:
    store.write(origin(1), [profile("large", "{}", X)])
    written = store.write(
        origin(2),
        [
            profile("a"),
            profile("large", "é" * (MAX_BYTES // 2) + "a"),
            profile("fits", "a" * MAX_BYTES),
        ],
    )
    assert written.written == 2
    [refused] = written.refused
    assert (refused.customer_id, refused.size) == ("large", MAX_BYTES + 1)
    assert "large takes 399,001 bytes" in str(refused)
    assert [found(store, name) for name in ("a", "fits", "large", X)] == [
        "a",
        "fits",
        "large",
        "large",
    ]


@pytest.mark.slow
def test_many_profiles_and_aliases_take_many_requests(store: ProfileStore) -> None:
    entries = [
        profile(f"c_{i:03}", "{}", *(bytes([j, i]) * 16 for j in range(3))) for i in range(130)
    ]
    assert store.write(origin(1), entries).written == 130
    assert store.count() == 130
    assert found(store, bytes([2, 129]) * 16) == "c_129"


class TestFile:
    def test_a_broken_file_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        path = tmp_path / "profiles.sqlite"
        path.write_bytes(b"not a database at all, but text" * 100)
        with pytest.raises(
            ProfileStoreError, match=r"profiles\.sqlite is damaged .* move it aside"
        ):
            SQLiteProfileStore(path).count()

    @pytest.mark.fault("F33")
    def test_a_file_of_the_first_release_keeps_what_it_holds(self, tmp_path: Path) -> None:
        path = tmp_path / "profiles.sqlite"
        SQLiteProfileStore(path).write(origin(1), [profile("a", "{}", X)])
        with sqlite3.connect(path) as connection:
            connection.execute("drop table synced")
            connection.execute("pragma user_version = 1")
        store = SQLiteProfileStore(path)
        assert (found(store, X), store.synced_version()) == ("a", "")
        store.mark_synced(origin(2), "version")
        assert store.synced_version() == "version"

    def test_a_file_of_a_newer_release_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "profiles.sqlite"
        SQLiteProfileStore(path).count()
        with sqlite3.connect(path) as connection:
            connection.execute("pragma user_version = 99")
        with pytest.raises(ProfileStoreError, match="schema 99"):
            SQLiteProfileStore(path).count()

    def test_what_is_gone_is_not_in_the_file(self, tmp_path: Path) -> None:
        store = SQLiteProfileStore(tmp_path / "profiles.sqlite")
        store.write(origin(1), [profile("a", '{"email": "canary@example.com"}')])
        assert b"canary" in (tmp_path / "profiles.sqlite").read_bytes()
        store.write(origin(2), [Entry("a", "gone")])
        assert b"canary" not in (tmp_path / "profiles.sqlite").read_bytes()


def _rows(store: ProfileStore) -> list[dict[str, str]]:
    return store.held().to_pylist()
