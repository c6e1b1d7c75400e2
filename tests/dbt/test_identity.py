"""Identity on a real warehouse: guards, links, deletions; increments equal a full build."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa
import pytest

from cdp_assets.identity.apply import apply_assignments
from cdp_assets.identity.decisions import SCHEMA
from cdp_assets.identity.persons import compatible_birth_dates, compatible_names
from cdp_assets.identity.resolve import resolve
from cdp_assets.identity.tables import DECISIONS
from cdp_assets.identity.touched import acknowledge_published
from cdp_assets.resources.warehouse import DuckDBWarehouse
from tests.dbt.conftest import Platform
from tests.unit.identity.test_persons import BIRTH_DATES, NAMES

Row = dict[str, Any]


def identify(platform: Platform, *, full_refresh: bool = False) -> None:
    """Clean what was delivered, and run identity from the models to the applied map."""
    platform.clean(full_refresh=full_refresh)
    refresh = ["--full-refresh"] if full_refresh else []
    platform.dbt("run", "--select", "config.schema:identity", *refresh)
    resolve(warehouse(platform))
    apply_assignments(warehouse(platform), run_id="run")


def warehouse(platform: Platform) -> DuckDBWarehouse:
    return DuckDBWarehouse(platform.path, platform.folder / "published.duckdb", "1GB")


def contact(number: int, *, day: int = 1, deleted: bool = False, **values: str) -> Row:
    return {
        "contact_id": f"C{number}",
        "is_deleted": str(deleted).lower(),
        "created_at": f"2024-01-{number:02d}T00:00:00Z",
        "modified_at": f"2025-03-{day:02d}T00:00:00Z",
        **values,
    }


def visit(number: int, device: str, user: str | None = None, **values: str) -> Row:
    return {
        "message_id": f"m{number}",
        "call_type": "track",
        "anonymous_id": device,
        "user_id": user,
        "occurred_at": f"2025-03-01T00:00:{number:02d}Z",
        **values,
    }


def call(contact_id: str, phone: str, *, updated: int = 1, **values: str) -> Row:
    return {
        "contact_id": contact_id,
        "channel": "VOICE",
        "initiated_at": "2025-03-01T08:00:00Z",
        "updated_at": f"2025-03-{updated:02d}T09:00:00Z",
        "endpoint_type": "TELEPHONE_NUMBER",
        "endpoint_address": phone,
        "endpoint_address_e164": phone,
        **values,
    }


def receipt(number: int, **values: str) -> Row:
    return {
        "receipt_id": f"R{number}",
        "store_id": "S1",
        "sold_at": f"2025-03-02T00:00:{number:02d}Z",
        "currency": "GBP",
        "total_amount": "10.00",
        **values,
    }


def customers(platform: Platform) -> list[set[str]]:
    """The records of each customer, without the hashes that name parties and callers."""
    rows = platform.query(
        """
        select list(split_part(record_id, ':', 2) || ' ' || left(split_part(record_id, ':', 3), 4))
        from identity.customer_map group by customer_id
        """
    )
    return sorted((set(records) for (records,) in rows), key=sorted)


def test_people_meet_by_login_card_and_email_but_not_by_number_alone(platform):
    platform.lake.deliver(
        "crm__contacts",
        [
            contact(1, first_name="Ann", email="ann@home.net", loyalty_id="123"),
            contact(2, first_name="Bob", email="bob@home.net", phone_e164="+442079460018"),
            contact(3, first_name="Robert", phone_e164="+442079460018", email="rob@work.net"),
            contact(4, first_name="Eve", phone_e164="+442079460018"),
            contact(5, first_name="Null", email="test@test.com"),
            contact(6, first_name="Zero", email="test@test.com"),
        ],
    )
    platform.lake.deliver(
        "web__events",
        [
            visit(1, "dev1"),
            visit(2, "dev1", "123", email="ANN+shop@home.net", first_name="Ann"),
            visit(3, "dev2"),
            visit(4, "dev2", "U2"),
            visit(5, "dev2", "U3"),
        ],
    )
    identify(platform)

    together = [group for group in customers(platform) if len(group) > 1]
    assert together == [
        {"contact C1", "login 123", "device dev1"},
        {"contact C2", "contact C3"},
    ]
    reasons = platform.query(
        "select distinct identifier_type, reason from identity.refused_edges order by all"
    )
    assert reasons == [
        ("device_id", "ambiguous_device"),
        ("email", "blocked_identifier"),
        ("phone", "incompatible_first_names"),
    ]
    suppressed = platform.query(
        "select identifier_value, reason, record_count from identity.suppressed_identifiers"
    )
    assert suppressed == [("test@test.com", "blocked", 2)]


@pytest.mark.fault("F37")
def test_what_many_people_write_where_an_id_belongs_makes_no_record_of_them(platform):
    platform.lake.deliver(
        "web__events",
        [
            visit(1, "dev1", "undefined", email="ann@home.net", first_name="Ann"),
            visit(2, "dev2", "Undefined", email="bob@work.net", first_name="Bob"),
            visit(3, "00000000-0000-0000-0000-000000000000"),
        ],
    )
    platform.lake.deliver(
        "pos__receipts",
        [
            receipt(1, card_token="cash"),
            receipt(2, card_token="cash", loyalty_id="0000"),
            receipt(3, card_token="cash", email="ann@home.net"),
            receipt(4, card_token="tok_7", email="none@none.com", phone_e164="+442011111111"),
            receipt(5, card_token="tok_7"),
        ],
    )
    platform.lake.deliver("contact_center__contacts", [call("A", "+442011111111")])
    identify(platform)

    assert customers(platform)[0] >= {"device dev1"}
    assert sorted(len(records) for records in customers(platform)) == [1, 1, 2]
    assert platform.query(
        "select receipt_id from cleansed.clean_pos__receipts where record_id is null order by all"
    ) == [("R1",), ("R2",)]
    assert platform.query(
        "select count(distinct record_id) from cleansed.clean_pos__receipts"
        " where receipt_id in ('R4', 'R5')"
    ) == [(1,)]
    assert platform.query("select record_id from cleansed.clean_contact_center__contacts") == [
        (None,)
    ]


@pytest.mark.fault("F37")
def test_a_value_that_too_many_people_share_links_nobody(platform):
    names = ["Ann", "Bob", "Cleo", "Dora", "Emil", "Fritz", "Gerd", "Hans", "Ivo", "Jens"]
    platform.lake.deliver(
        "crm__contacts",
        [
            contact(n, first_name=name, last_name="X", phone_e164="+442079460018")
            for n, name in enumerate(names, start=1)
        ],
    )
    identify(platform)
    assert all(len(group) == 1 for group in customers(platform))
    assert platform.query(
        "select reason, record_count, people_count from identity.suppressed_identifiers"
    ) == [("too_many_people", 10, 10)]


def test_a_record_without_a_name_joins_a_shared_phone_only_when_one_person_has_it(platform):
    platform.lake.deliver(
        "crm__contacts",
        [
            contact(1, first_name="Ann", phone_e164="+442079460018"),
            contact(2, first_name="Bob", phone_e164="+442079460018"),
            contact(3, first_name="Cleo", phone_e164="+442079460019"),
        ],
    )
    platform.lake.deliver(
        "pos__receipts",
        [receipt(1, phone_e164="+442079460018"), receipt(2, phone_e164="+442079460019")],
    )
    identify(platform)
    assert sorted(map(len, customers(platform))) == [1, 1, 1, 2]
    assert platform.query(
        "select count(*) from identity.refused_edges where reason = 'shared_by_several_people'"
    ) == [(1,)]


@pytest.mark.slow
def test_a_deleted_contact_follows_its_strongest_identifier_and_bridges_nobody(platform):
    platform.lake.deliver(
        "crm__contacts",
        [
            contact(1, email="a@home.net", first_name="Ann"),
            contact(2, email="a@home.net", phone_e164="+442079460018", first_name="Ann"),
            contact(3, phone_e164="+442079460018", first_name="Ann"),
        ],
    )
    identify(platform)
    assert customers(platform) == [{"contact C1", "contact C2", "contact C3"}]

    platform.lake.deliver(
        "crm__contacts",
        [contact(2, day=2, deleted=True, first_name="Ann")],
    )
    identify(platform)
    assert customers(platform) == [{"contact C1", "contact C2"}, {"contact C3"}]


@pytest.mark.slow
@pytest.mark.fault("F37")
def test_human_decisions_hold_over_a_full_rebuild(platform):
    platform.lake.deliver(
        "crm__contacts",
        [
            contact(1, first_name="Ann", email="a@home.net"),
            contact(2, first_name="Ann", email="a@home.net"),
            contact(3, first_name="Zoe"),
        ],
    )
    identify(platform)
    decide(
        platform,
        ("cannot_link", "crm:contact:C1", "crm:contact:C2"),
        ("must_link", "crm:contact:C2", "crm:contact:C3"),
    )
    expected = [{"contact C1"}, {"contact C2", "contact C3"}]
    identify(platform)
    assert customers(platform) == expected
    identify(platform, full_refresh=True)
    assert customers(platform) == expected


def decide(platform: Platform, *decisions: tuple[str, str, str]) -> None:
    rows = [
        dict(zip(SCHEMA.names, (*decision, "kim", None, None), strict=True))
        for decision in decisions
    ]
    warehouse(platform).execute(
        f"insert into {DECISIONS.address} select * replace (now()::timestamp as decided_at)"
        " from incoming",
        inputs={"incoming": pa.Table.from_pylist(rows, SCHEMA)},
    )


# Each batch meets what the one before left: new and changed people, a caller that gives a name
# and so becomes another record, a deletion, one message id with two contents, late visits.
BATCHES: list[list[tuple[str, str, list[Row]]]] = [
    [
        (
            "crm__contacts",
            "2025-03-02",
            [
                contact(1, first_name="Ann", email="a@home.net", loyalty_id="L1"),
                contact(2, first_name="Ann", email="a@home.net", phone_e164="+442079460018"),
                contact(3, first_name="Bob", phone_e164="+442079460018"),
                contact(4, first_name="Cleo", phone_e164="+442079460019"),
            ],
        ),
        ("contact_center__contacts", "2025-03-02", [call("K1", "+442079460019")]),
        (
            "web__events",
            "2025-03-02",
            [visit(10, "dev1"), visit(11, "dev1", "U1", email="a@home.net")],
        ),
        ("pos__receipts", "2025-03-02", [receipt(1, loyalty_id="L1", card_token="T1")]),
    ],
    [
        (
            "contact_center__contacts",
            "2025-03-03",
            [call("K1", "+442079460019", updated=3, verified_first_name="Dan")],
        ),
        ("web__events", "2025-03-03", [visit(12, "dev1", "U2"), visit(13, "dev3", "U3")]),
        ("pos__receipts", "2025-03-03", [receipt(2, card_token="T1", email="b@home.net")]),
        ("crm__contacts", "2025-03-03", [contact(5, first_name="Bob", email="b@home.net", day=3)]),
    ],
    [
        ("crm__contacts", "2025-03-04", [contact(2, day=4, deleted=True, first_name="Ann")]),
        ("web__events", "2025-03-01", [visit(13, "dev4", "U1"), visit(1, "dev3")]),
        (
            "email__events",
            "2025-03-04",
            [
                {
                    "event_type": "Open",
                    "message_id": "e1",
                    "event_at": "2025-03-04T00:00:00Z",
                    "sent_at": "2025-03-04T00:00:00Z",
                    "recipient_email": "B@home.net",
                }
            ],
        ),
    ],
]

# What says how far a run got, or what it looked at, is not a result.
PROGRESS = {
    "applied_loads",
    "applied_rules",
    "changed_records",
    "cluster_assignments",
    "customer_id_changes",
    "match_affected",
    "match_candidates",
    "pairs_to_score",
    "scored_pairs",
    "source_changes",
    "touched_identifiers",
    "touched_keys",
}
HISTORY = {
    "customer_id_events",
    "customer_map_history",
    "customer_redirects",
    "touched_customers",
}


def results(platform: Platform) -> Mapping[str, list[tuple[Any, ...]]]:
    tables = platform.query(
        "select table_name from information_schema.tables where table_schema = 'identity'"
    )
    names = {name for (name,) in tables} - PROGRESS - HISTORY
    return {name: platform.rows(f"identity.{name}") for name in sorted(names)}


def deliver(platform: Platform, batches: Iterable[list[tuple[str, str, list[Row]]]]) -> None:
    for batch in batches:
        for entity, dt, rows in batch:
            platform.lake.deliver(entity, rows, dt)


@pytest.mark.fault("F22")
@pytest.mark.slow
def test_increments_in_any_order_equal_one_full_build_ids_included(
    new_platform: Callable[[str], Platform],
):
    whole = new_platform("whole")
    deliver(whole, BATCHES)
    identify(whole)
    expected = results(whole)
    assert len(expected["customer_map"]) > 10

    for name, order in (("in_turn", (0, 1, 2)), ("backwards", (2, 1, 0))):
        platform = new_platform(name)
        for place in order:
            deliver(platform, [BATCHES[place]])
            identify(platform)
        assert results(platform) == expected

    identify(platform, full_refresh=True)
    assert results(platform) == expected


@pytest.mark.slow
def test_an_increment_touches_the_customers_it_concerns_and_no_others(platform):
    platform.lake.deliver(
        "crm__contacts",
        [contact(n, first_name=name) for n, name in enumerate(["Ann", "Bob", "Cleo"], start=1)],
    )
    identify(platform)
    assert touched(platform) == ["contact C1", "contact C2", "contact C3"]
    acknowledge_published(warehouse(platform))

    platform.lake.deliver("crm__contacts", [contact(2, day=2, first_name="Bert")])
    identify(platform)
    assert touched(platform) == ["contact C2"]

    platform.lake.deliver("crm__contacts", [contact(3, day=2, first_name="Cloe")])
    identify(platform)
    assert touched(platform) == ["contact C2", "contact C3"]


def touched(platform: Platform) -> list[str]:
    rows = platform.query(
        "select distinct substr(record_id, 5) from identity.customer_map"
        " inner join identity.touched_customers using (customer_id) order by all"
    )
    return [name.replace(":", " ") for (name,) in rows]


def test_sql_and_python_agree_on_who_can_be_one_person(run_dbt, tmp_path):
    names = ", ".join(f"({n}, '{a}', '{b}')" for n, (a, b, _) in enumerate(NAMES))
    dates = ", ".join(f"({n}, date '{a}', date '{b}')" for n, (a, b, _) in enumerate(BIRTH_DATES))
    sql = (
        "select 'name' as kind, n, {{ compatible_names('a', 'b') }} as agrees"
        f" from (values {names}) as t (n, a, b)"
        " union all select 'date', n, {{ compatible_birth_dates('a', 'b') }}"
        f" from (values {dates}) as t (n, a, b)"
    )
    shown = run_dbt(tmp_path / "empty.duckdb", "show", "--inline", sql, "--limit", "100")
    table = shown.results[0].agate_table
    in_sql = {(row["kind"], int(row["n"])): bool(row["agrees"]) for row in table.rows}
    in_python = {
        **{("name", n): compatible_names(a, b) for n, (a, b, _) in enumerate(NAMES)},
        **{("date", n): compatible_birth_dates(a, b) for n, (a, b, _) in enumerate(BIRTH_DATES)},
    }
    assert in_sql == in_python


def test_the_newest_value_and_the_oldest_are_found_from_1900_on(run_dbt, tmp_path):
    values = ", ".join(
        f"('{name}', timestamp '{moment}')"
        for name, moment in [
            ("Moe", "1969-12-31 23:59:59.999999"),
            ("Ann", "2199-12-31 23:59:59.999999"),
            ("Zoe", "1900-01-01 00:00:00"),
            ("Kim", "2025-03-01 00:00:00"),
        ]
    )
    sql = (
        "select {{ newest('name', 'seen') }} as newest, {{ oldest('name', 'seen') }} as oldest,"
        """ {{ newest('name', 'seen', "name <> 'Ann' and name <> 'Kim'") }} as before_1970"""
        f" from (values {values}) as t (name, seen)"
    )
    shown = run_dbt(tmp_path / "empty.duckdb", "show", "--inline", sql)
    [row] = shown.results[0].agate_table.rows
    assert (row["newest"], row["oldest"], row["before_1970"]) == ("Ann", "Zoe", "Moe")
