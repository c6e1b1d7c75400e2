from __future__ import annotations

import duckdb
import pytest

from cdp_assets.fingerprint import overall_hash, table_hashes
from cdp_assets.identity.tables import CANDIDATE


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        connection.execute("create schema cleansed; create schema identity; create schema profile")
        yield connection


def _hash_of(connection: duckdb.DuckDBPyConnection, select: str) -> str:
    connection.execute(f"create or replace table profile.customers as {select}")
    return overall_hash(table_hashes(connection))


PEOPLE = "select * from (values ('a', 1), ('b', null)) as t(customer_id, n)"


def test_row_order_does_not_matter(connection):
    ordered = _hash_of(connection, f"{PEOPLE} order by customer_id")
    assert ordered == _hash_of(connection, f"{PEOPLE} order by customer_id desc")


def test_a_row_that_is_there_twice_changes_the_hash(connection):
    once = _hash_of(connection, PEOPLE)
    assert once != _hash_of(connection, f"{PEOPLE} union all {PEOPLE}")
    assert once != _hash_of(connection, f"{PEOPLE} union all ({PEOPLE}) union all ({PEOPLE})")


def test_a_null_is_not_an_empty_text(connection):
    null = _hash_of(connection, "select 'a' as customer_id, null::varchar as email")
    assert null != _hash_of(connection, "select 'a' as customer_id, '' as email")


def test_a_value_that_moves_to_the_next_column_changes_the_hash(connection):
    left = _hash_of(connection, "select 'x' as a, null::varchar as b")
    assert left != _hash_of(connection, "select null::varchar as a, 'x' as b")


def test_how_often_a_row_was_delivered_does_not_matter(connection):
    once = _hash_of(connection, "select 'a' as customer_id, 1 as _deliveries, 7 as _load_id")
    assert once == _hash_of(
        connection, "select 'a' as customer_id, 2 as _deliveries, 9 as _load_id"
    )


def test_history_tables_do_not_count(connection):
    before = _hash_of(connection, PEOPLE)
    connection.execute("create table profile.profile_history as select now() as valid_from")
    assert overall_hash(table_hashes(connection)) == before


@pytest.mark.parametrize("table", CANDIDATE)
def test_a_candidate_of_identity_does_not_count(connection, table):
    """It holds what its run looked at: nothing, where nothing was new."""
    before = _hash_of(connection, PEOPLE)
    connection.execute(table.create_if_missing)
    assert overall_hash(table_hashes(connection)) == before


def test_the_last_digits_of_a_double_do_not_count(connection):
    exact = _hash_of(connection, "select 0.3::double as score")
    assert exact == _hash_of(connection, "select 0.1::double + 0.2::double as score")
    assert exact != _hash_of(connection, "select 0.300001::double as score")
    zero = _hash_of(connection, "select 0.0::double as score")
    assert zero == _hash_of(connection, "select -0.0::double as score")
    assert zero != _hash_of(connection, "select null::double as score")
