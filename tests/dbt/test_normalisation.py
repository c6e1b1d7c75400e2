"""One documented form per name, address and country; the unit tests beside the models say which."""

from __future__ import annotations

from .conftest import Platform


def test_the_unit_tests_of_the_cleansed_models_pass(platform: Platform) -> None:
    platform.clean()
    platform.check("cleansed", kind="unit")


def test_the_seeds_know_everyday_nicknames_and_countries_in_four_languages(
    platform: Platform,
) -> None:
    known = [
        ("Bob", "Deutschland", "robert", "DE"),
        ("Lisbeth", "ALLEMAGNE", "elizabeth", "DE"),
        ("Pepe", "Estados Unidos", "joseph", "US"),
        ("Xiomara", "NAM", "xiomara", "NA"),
        ("Fritz", "uk", "frederick", "GB"),
    ]
    platform.lake.deliver(
        "crm__contacts",
        [
            {
                "contact_id": str(number),
                "first_name": name,
                "mailing_country": country,
                "is_deleted": "false",
                "modified_at": "2025-01-01T00:00:00Z",
            }
            for number, (name, country, *_) in enumerate(known)
        ],
    )
    platform.clean("crm__contacts")
    found = platform.query(
        "select first_name, mailing_country, first_name_key, country_code "
        "from cleansed.clean_crm__contacts order by contact_id"
    )
    assert found == known


def test_no_nickname_leads_to_another_nickname(platform: Platform) -> None:
    platform.dbt("seed")
    chained = platform.query(
        "select a.name from cleansed.nicknames as a "
        "join cleansed.nicknames as b on a.canonical_name = b.name"
    )
    assert chained == []
