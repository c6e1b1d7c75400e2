"""A false merge is undone by one line of a file, and everything that came of it with it."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from tests.homes import BIN, Home

_DECIDED = 'key:"identity/identity_decisions"+'
# Whatever a customer has, by the column that tells whose it is.
_PROFILE_TABLES = (
    "customer_attributes",
    "customer_consents",
    "customer_events",
    "customer_identifiers",
    "customer_profiles",
    "customer_traits",
)


@pytest.mark.slow
@pytest.mark.fault("F37")
def test_unmerge_cascades(loaded, tmp_path):
    """Profile, traits, consents, events, history and redirects follow, there and back."""
    home = loaded.copy(tmp_path / "home")
    customer, contact, party = _a_contact_with_receipts(home)
    before = {table: _rows(home, table) for table in _PROFILE_TABLES}

    _decide(home, "cannot_link", contact, party, day=1)

    owners = dict(_query(home, "select record_id, customer_id from identity.customer_map"))
    other = owners[party]
    assert {owners[contact], other} == {customer, other} != {customer}
    assert _query(home, _STRANGERS) == [(0,)]
    assert _of(home, "customer_events", other, "count(*) > 0, bool_and(channel = 'pos')") == [
        (True, True)
    ]
    assert _of(home, "customer_events", customer, "count(*) filter (channel = 'pos')") == [(0,)]
    assert _of(home, "customer_traits", other, "order_count > 0") == [(True,)]
    assert _of(home, "customer_traits", customer, "coalesce(order_count, 0)") == [(0,)]
    # A receipt tells no consent, and unknown is denied.
    assert _of(home, "customer_consents", other, "count(*) > 0, bool_or(is_allowed)") == [
        (True, False)
    ]
    assert _of(home, "profile_history", other, "count(*), count(valid_to)") == [(1, 0)]
    assert _events(home, other) == ["mint", "split"]

    _decide(home, "withdrawn", contact, party, day=2)

    assert {table: _rows(home, table) for table in _PROFILE_TABLES} == before
    redirects = dict(_query(home, "select * from identity.customer_redirects"))
    assert redirects[other] == customer
    assert _of(home, "customer_profiles", redirects[other], "count(*)") == [(1,)]
    assert _of(home, "profile_history", other, "count(*), count(valid_to)") == [(1, 1)]
    assert _events(home, customer)[-1] == "merge"


# Values that a profile has of a record that is another customer's.
_STRANGERS = """
    select count(*)
    from (
        select customer_id, record_id from profile.customer_attributes
        union all
        select customer_id, record_id from profile.customer_events
        union all
        select customer_id, record_id from profile.customer_consents
        -- What a mailbox denies is denied to everybody who has its address.
        where record_id is not null and record_id not like 'email:recipient:%'
    ) as claimed
    inner join identity.customer_map as mapped on claimed.record_id = mapped.record_id
    where claimed.customer_id <> mapped.customer_id"""


def _a_contact_with_receipts(home: Home) -> tuple[str, str, str]:
    """A customer that is one CRM contact and one party of receipts, the contact the older."""
    return _query(
        home,
        """
        select customer_id, min(record_id), max(record_id)
        from identity.customer_map
        inner join identity.identity_records using (record_id)
        group by customer_id
        having count(*) = 2
            and min(record_kind) = 'contact' and max(record_kind) = 'party'
            and arg_min(record_kind, first_seen_at) = 'contact'
        order by customer_id
        """,
    )[0]


def _decide(home: Home, decision: str, left: str, right: str, day: int) -> None:
    file = home.path / "lake" / "decisions" / f"{day}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "decision,left_record_id,right_record_id,decided_by,decided_at,note\n"
        f"{decision},{left},{right},jane,2026-09-0{day}T09:00:00Z,\n"
    )
    home.command(
        str(BIN / "dagster"), "asset", "materialize", "-m", "cdp_assets.definitions",
        "--select", _DECIDED,
    )  # fmt: skip


def _query(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home.published), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def _of(home: Home, table: str, customer: str, what: str) -> list[tuple[Any, ...]]:
    return _query(home, f"select {what} from profile.{table} where customer_id = '{customer}'")


def _rows(home: Home, table: str) -> list[tuple[Any, ...]]:
    return _query(home, f"select columns(*)::varchar from profile.{table} order by all")


def _events(home: Home, customer: str) -> list[str]:
    rows = _query(
        home,
        "select event from identity.customer_id_events"
        f" where customer_id = '{customer}' order by occurred_at, event",
    )
    return [event for (event,) in rows]
