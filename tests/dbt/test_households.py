"""People who share what they have, through the real models with the model that ships.

One town is cleansed and clustered once; each scenario, under the name it goes by in the trade,
looks at the records of its family. The same stories without a warehouse, and more of them:
tests/unit/identity/test_scenarios.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dbt.conftest import Platform
from tests.dbt.test_identity import decide, identify, visit

Row = dict[str, Any]
OAK = {
    "mailing_street": "12 Oak Road",
    "mailing_city": "Leeds",
    "mailing_postal_code": "LS1 4AB",
    "mailing_country": "GB",
}


def person(contact_id: str, first_name: str, last_name: str, **values: str) -> Row:
    return {
        "contact_id": contact_id,
        "first_name": first_name,
        "last_name": last_name,
        "is_deleted": "false",
        "created_at": "2024-01-01T00:00:00Z",
        "modified_at": "2025-03-01T00:00:00Z",
        **values,
    }


TOWN = [
    # Twins, one of them twice; their mother gave her address and number for both.
    person("twin-a", "Lena", "Brook", birth_date="2009-05-17", email="brooks@home.net", **OAK),
    person("twin-b", "Mara", "Brook", birth_date="2009-05-17", email="brooks@home.net", **OAK),
    person("twin-a2", "Lena", "Brooks", birth_date="2009-05-17", phone_e164="+442079460101"),
    # A father and his son of the same name, at one address, the father twice.
    person("father", "John", "Archer", birth_date="1961-02-03", email="john@archer.net", **OAK),
    person("son", "John", "Archer", birth_date="1988-11-20", email="jj@archer.net", **OAK),
    person("father2", "Jon", "Archer", birth_date="1961-02-03", email="john@archer.net"),
    # Siblings with one mailbox.
    person("sister", "Clara", "Dent", birth_date="1999-01-12", email="dent@home.net", **OAK),
    person("brother", "Theo", "Dent", birth_date="2001-08-30", email="dent@home.net", **OAK),
    person("sister2", "Clara", "Dent", birth_date="1999-12-01", email="clara@work.net"),
    # A couple with one telephone, and a contact of whom nothing but that is known.
    person("wife", "Ruth", "Eyre", birth_date="1975-04-04", phone_e164="+442079460202"),
    person("husband", "Omar", "Eyre", birth_date="1971-09-19", phone_e164="+442079460202"),
    person("caller", "", "", phone_e164="+442079460202"),
    # One person of a common name, reached at home and on the move.
    person(
        "home", "John", "Smith", phone_e164="+442079460303", mobile_phone_e164="+447700900303",
        birth_date="1985-08-06", **OAK,
    ),
    person("pocket", "John", "Smith", phone_e164="+447700900303"),
    # Strangers whom a form gave one address.
    person("junk-a", "Gus", "Farr", email="none@none.com", birth_date="1980-01-02"),
    person("junk-b", "Ida", "Gale", email="none@none.com", birth_date="1990-03-04"),
    # One person, mistyped.
    person("typo-a", "Margaret", "Hollis", birth_date="1968-07-07", email="mh@hollis.net"),
    person("typo-b", "Margaret", "Holis", birth_date="1968-07-07", **OAK),
    person("typo-c", "Maggie", "Hollis", birth_date="1968-07-01", email="mh@hollis.net", **OAK),
]  # fmt: skip


@pytest.fixture(scope="module")
def town(
    tmp_path_factory: pytest.TempPathFactory, platform_in: Callable[[Path], Platform]
) -> Platform:
    platform = platform_in(tmp_path_factory.mktemp("town"))
    platform.lake.deliver("crm__contacts", TOWN)
    platform.lake.deliver(
        "web__events",
        [visit(1, "tablet"), visit(2, "tablet", "ruth"), visit(3, "tablet", "omar")],
    )
    identify(platform)
    return platform


def groups(platform: Platform, *contacts: str) -> list[set[str]]:
    """How these contacts are divided among customers."""
    listed = ", ".join(f"'crm:contact:{contact}'" for contact in contacts)
    rows = platform.query(
        f"""
        select list(split_part(record_id, ':', 3)) from identity.customer_map
        where record_id in ({listed}) group by customer_id
        """
    )
    return sorted((set(records) for (records,) in rows), key=sorted)


def test_twins(town):
    assert groups(town, "twin-a", "twin-a2", "twin-b") == [{"twin-a", "twin-a2"}, {"twin-b"}]


def test_father_and_son_of_one_name(town):
    assert groups(town, "father", "father2", "son") == [{"father", "father2"}, {"son"}]


def test_siblings(town):
    assert groups(town, "sister", "sister2", "brother") == [{"brother"}, {"sister", "sister2"}]


def test_household_phone(town):
    assert groups(town, "wife", "husband") == [{"husband"}, {"wife"}]


def test_two_numbers_of_one_person(town):
    assert groups(town, "home", "pocket") == [{"home", "pocket"}]


def test_shared_device(town):
    rows = town.query(
        "select count(distinct customer_id), count(*) from identity.customer_map"
        " where record_id in ('web:device:tablet', 'web:login:ruth', 'web:login:omar')"
    )
    assert rows == [(3, 3)]


def test_junk_identifier(town):
    assert groups(town, "junk-a", "junk-b") == [{"junk-a"}, {"junk-b"}]


def test_one_person_mistyped(town):
    assert groups(town, "typo-a", "typo-b", "typo-c") == [{"typo-a", "typo-b", "typo-c"}]


@pytest.mark.slow
def test_must_link_and_cannot_link_hold_over_a_full_rebuild(town):
    """Last in this file: it decides about the town's people."""
    c = "crm:contact:"
    decide(
        town,
        ("must_link", f"{c}husband", f"{c}wife"),
        ("cannot_link", f"{c}father", f"{c}father2"),
    )
    for full_refresh in (False, True):
        identify(town, full_refresh=full_refresh)
        assert groups(town, "wife", "husband") == [{"husband", "wife"}]
        assert groups(town, "father", "father2") == [{"father"}, {"father2"}]
