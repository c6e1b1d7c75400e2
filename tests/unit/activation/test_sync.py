"""What a sync writes, and what a lookup then finds; on both stores."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import yaml
from sqlglot import exp

from cdp_assets.activation import documents
from cdp_assets.activation.aliases import alias, key_version
from cdp_assets.activation.sync import (
    SyncReport,
    expected_count,
    is_outdated,
    some_customers,
    sync_profiles,
)
from cdp_assets.resources.dynamodb_profiles import DynamoDBProfileStore
from cdp_assets.resources.leases import Hold, TableTakenError
from cdp_assets.resources.profile_store import MAX_BYTES, ProfileStore, SQLiteProfileStore
from cdp_assets.resources.warehouse import DuckDBWarehouse
from cdp_assets.settings import DBT_PROJECT_DIR
from tests.unit.aws import dynamodb, new_table
from tests.unit.s3 import s3_endpoint

__all__ = ["dynamodb", "s3_endpoint"]

KEY = b"k" * 32
MODELS = DBT_PROJECT_DIR / "models" / "profile"


def columns(table: str) -> dict[str, str]:
    """The columns of a profile table and their types, from its yml."""
    text = (MODELS / f"{table}.yml").read_text()
    [model] = yaml.safe_load(text)["models"]
    return {column["name"]: column["data_type"] for column in model["columns"]}


def literal(value: Any) -> str:
    """A value as SQL."""
    if value is None:
        return "null"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


@dataclass
class World:
    """A published version that a test writes, and a store that follows it."""

    warehouse: DuckDBWarehouse
    store: ProfileStore

    def customer(self, customer_id: str, *identifiers: str, **profile: Any) -> None:
        """Publish a customer with `type:value` identifiers, in place of what it was."""
        self.forget(customer_id)
        row = {"customer_id": customer_id, "profile_type": "known", "is_deleted": False, **profile}
        self._insert("profile.customer_profiles", row)
        traits = {"customer_id": customer_id, "lifetime_value": 12.5, "order_count": 1}
        self._insert("profile.customer_traits", traits)
        for identifier in identifiers:
            kind, _, value = identifier.partition(":")
            row = {"customer_id": customer_id, "identifier_type": kind, "identifier_value": value}
            self._insert("profile.customer_identifiers", row)

    def forget(self, customer_id: str) -> None:
        """Publish without a customer."""
        for table in ("customer_profiles", "customer_traits", "customer_identifiers"):
            self.warehouse.execute(
                f"delete from profile.{table} where customer_id = {literal(customer_id)}"
            )

    def redirect(self, old: str, living: str) -> None:
        """Publish that an id lives on in another."""
        self._insert("identity.customer_redirects", {"old_customer_id": old, "customer_id": living})

    def sync(self, key: bytes = KEY, hold: Hold | None = None) -> SyncReport:
        self.warehouse.publish()
        return sync_profiles(self.warehouse, self.store, key, load_id=7, run_id="run", hold=hold)

    def find(self, identifier: str, key: bytes = KEY) -> str | None:
        kind, _, value = identifier.partition(":")
        found = self.store.find(alias(key, kind, value))
        return found.customer_id if found else None

    def get(self, customer_id: str) -> dict[str, Any] | None:
        found = self.store.get(customer_id)
        return json.loads(found.document) if found else None

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        values = ", ".join(map(literal, row.values()))
        self.warehouse.execute(f"insert into {table} ({', '.join(row)}) values ({values})")


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "p.duckdb", "1GB")
    for table in ("customer_profiles", "customer_traits", "customer_identifiers"):
        names = ", ".join(f"{name} {kind}" for name, kind in columns(table).items())
        warehouse.execute(f"create table profile.{table} ({names})")
    warehouse.execute(
        "create table identity.customer_redirects (old_customer_id varchar, customer_id varchar)"
    )
    return warehouse


@pytest.fixture(params=["sqlite", "dynamodb"])
def world(request: pytest.FixtureRequest, warehouse: DuckDBWarehouse, tmp_path: Path) -> World:
    if request.param == "sqlite":
        return World(warehouse, SQLiteProfileStore(tmp_path / "profiles.sqlite"))
    client = request.getfixturevalue("dynamodb")
    return World(warehouse, DynamoDBProfileStore(client, new_table(client), "main"))


def test_a_version_is_outdated_until_a_sync_of_it_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_outdated(world.warehouse, world.store)
    world.customer("c_1", "email:a@x.org")
    with monkeypatch.context() as broken:
        broken.setattr(type(world.store), "write", _unreachable)
        with pytest.raises(RuntimeError, match="unreachable"):
            world.sync()
    assert is_outdated(world.warehouse, world.store)
    world.sync()
    assert not is_outdated(world.warehouse, world.store)
    world.warehouse.publish()
    assert is_outdated(world.warehouse, world.store)


@pytest.mark.fault("F30")
def test_a_sync_that_lost_its_lease_writes_nothing_more(world: World) -> None:
    world.customer("c_1", "email:a@x.org")
    hold = Hold()
    hold.lose(TableTakenError("taken"))
    with pytest.raises(TableTakenError):
        world.sync(hold=hold)
    assert world.get("c_1") is None
    assert is_outdated(world.warehouse, world.store)


def _unreachable(*_: object) -> None:
    raise RuntimeError("unreachable")


def test_a_synced_customer_is_found_with_what_is_published(world: World) -> None:
    world.customer(
        "c_1", "email:a@x.org", "user_id:7", first_name="Ann", birth_date="1990-02-03", city=None
    )
    report = world.sync()
    assert (report.written, report.deleted, report.unchanged) == (1, 0, 0)
    assert world.find("email:a@x.org") == world.find("user_id:7") == "c_1"
    assert world.get("c_1") == {
        "customer_id": "c_1",
        "profile": {"profile_type": "known", "first_name": "Ann", "birth_date": "1990-02-03"},
        "traits": {"lifetime_value": "12.50", "order_count": 1},
        "identifiers": [
            {"type": "email", "value": "a@x.org"},
            {"type": "user_id", "value": "7"},
        ],
    }


def test_only_what_changed_is_written(world: World) -> None:
    for number in range(5):
        world.customer(f"c_{number}", f"user_id:{number}", first_name="Ann")
    world.redirect("c_9", "c_1")
    assert world.sync().written == 6
    again = world.sync()
    assert (again.written, again.deleted, again.unchanged) == (0, 0, 6)
    world.customer("c_1", "user_id:1", first_name="Anna")
    world.customer("c_5")
    world.forget("c_2")
    report = world.sync()
    assert (report.written, report.deleted, report.unchanged) == (2, 1, 4)
    changed = world.get("c_1")
    assert changed is not None
    assert changed["profile"]["first_name"] == "Anna"
    assert [world.get("c_2"), world.find("user_id:2")] == [None, None]
    assert world.store.count() == expected_count(world.warehouse) == 5


@pytest.mark.parametrize(
    ("before", "after"),
    [({"city": "Bonn"}, {"city": None}), ({"city": None}, {"city": ""}), ({}, {"last_name": "="})],
)
def test_a_null_of_the_golden_record_is_a_change_and_is_no_empty_text(
    world: World, before: dict[str, Any], after: dict[str, Any]
) -> None:
    for profile in (before, after):
        world.customer("c_1", **profile)
        assert world.sync().written == 1
        stored = world.get("c_1")
        assert stored is not None
        expected = {name: value for name, value in profile.items() if value is not None}
        assert stored["profile"] == {"profile_type": "known", **expected}


def test_a_value_that_moves_to_the_next_column_is_a_change(world: World) -> None:
    world.customer("c_1", first_name="Ann", last_name=None)
    world.sync()
    world.customer("c_1", first_name=None, last_name="Ann")
    assert world.sync().written == 1


def test_merged_customers_are_found_by_both_ids_and_every_identifier(world: World) -> None:
    world.customer("c_1", "email:a@x.org")
    world.customer("c_2", "user_id:7")
    world.sync()
    world.forget("c_2")
    world.customer("c_1", "email:a@x.org", "user_id:7")
    world.redirect("c_2", "c_1")
    world.sync()
    assert world.find("user_id:7") == world.find("email:a@x.org") == "c_1"
    old = world.store.get("c_2")
    assert old is not None
    assert old.customer_id == "c_1"


def test_an_identifier_of_two_customers_finds_neither_until_it_is_of_one(world: World) -> None:
    world.customer("c_1", "phone:+49301")
    world.sync()
    assert world.find("phone:+49301") == "c_1"
    world.customer("c_2", "phone:+49301")
    assert world.sync().written == 2
    assert world.find("phone:+49301") is None
    world.forget("c_1")
    world.sync()
    assert world.find("phone:+49301") == "c_2"


def test_types_of_identifiers_never_meet(world: World) -> None:
    world.customer("c_1", "user_id:7")
    world.customer("c_2", "loyalty_id:7")
    world.sync()
    assert [world.find("user_id:7"), world.find("loyalty_id:7")] == ["c_1", "c_2"]


def test_a_customer_deleted_at_every_source_is_not_found(world: World) -> None:
    world.customer("c_1", "user_id:1")
    world.sync()
    world.customer("c_1", "user_id:1", is_deleted=True)
    report = world.sync()
    assert (report.deleted, world.get("c_1"), world.find("user_id:1")) == (1, None, None)
    assert world.store.count() == expected_count(world.warehouse) == 0


@pytest.mark.fault("F26")
def test_a_profile_that_is_too_large_is_reported_at_every_sync(world: World) -> None:
    world.customer("c_1", first_name="x" * MAX_BYTES)
    world.customer("c_2")
    for written in (1, 0):
        report = world.sync()
        assert report.written == written
        assert [refused.customer_id for refused in report.refused] == ["c_1"]
    assert world.store.count() == expected_count(world.warehouse) - 1


def test_another_key_renews_every_alias(world: World) -> None:
    world.customer("c_1", "user_id:1")
    world.sync()
    other = b"o" * 32
    assert world.sync(other).written == 1
    assert world.find("user_id:1", other) == "c_1"
    assert world.find("user_id:1") is None


@pytest.mark.parametrize(("at_once", "in_a_statement"), [(3, 2), (20_000, 5_000)])
def test_many_changes_are_written_in_parts(
    world: World, monkeypatch: pytest.MonkeyPatch, at_once: int, in_a_statement: int
) -> None:
    monkeypatch.setattr("cdp_assets.activation.sync._AT_ONCE", at_once)
    monkeypatch.setattr("cdp_assets.activation.sync._IDS_IN_A_STATEMENT", in_a_statement)
    monkeypatch.setattr("cdp_assets.activation.sync._WRITE_AT_ONCE", 2)
    for number in range(8):
        world.customer(f"c_{number}", f"user_id:{number}")
    world.customer("c_'; drop table")
    assert world.sync().written == 9
    for number in (1, 4, 6):
        world.customer(f"c_{number}", f"user_id:{number}", first_name="Bo")
    assert world.sync().written == 3
    assert [world.find(f"user_id:{number}") for number in range(8)] == [
        f"c_{number}" for number in range(8)
    ]
    assert some_customers(world.warehouse, 3) == ["c_'; drop table", "c_0", "c_1"]
    assert world.sync().unchanged == 9


def test_the_columns_served_are_those_of_the_tables() -> None:
    left_out = {"customer_id", "is_deleted", "email_key", "profile_hash"}
    assert set(documents.PROFILE_COLUMNS) == columns("customer_profiles").keys() - left_out
    assert set(documents.TRAIT_COLUMNS) == columns("customer_traits").keys() - left_out


@pytest.mark.parametrize(
    "sql", [documents.content_sql("v"), documents.count_sql(), documents.some_sql(3)]
)
def test_the_sql_is_trinos_as_it_stands(sql: str) -> None:
    tree = sqlglot.parse_one(sql, read="trino")
    assert not list(tree.find_all(exp.Anonymous))


def test_an_alias_is_an_hmac_and_a_key_version_tells_nothing_of_the_key() -> None:
    expected = hmac.new(KEY, b"email\0a@x.org", hashlib.sha256).digest()
    assert alias(KEY, "email", "a@x.org") == expected
    assert alias(b"o" * 32, "email", "a@x.org") != expected
    assert key_version(KEY) != key_version(b"o" * 32)
    assert KEY.hex() not in key_version(KEY)


def test_nothing_in_the_table_is_keyed_by_a_raw_identifier(
    dynamodb: Any, warehouse: DuckDBWarehouse
) -> None:
    name = new_table(dynamodb)
    world = World(warehouse, DynamoDBProfileStore(dynamodb, name, "main"))
    world.customer("c_1", "email:canary@x.org", "phone:+4930123456")
    world.sync()
    items = dynamodb.scan(TableName=name)["Items"]
    keys = " ".join(item["pk"]["S"] + item["sk"]["S"] for item in items)
    assert len(items) == 6
    assert "canary" not in keys
    assert "4930123456" not in keys
