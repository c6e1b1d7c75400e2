"""What the comparisons take for agreement, on two records at a time."""

from __future__ import annotations

import duckdb
import pytest

from cdp_assets.identity.comparisons import COMPARISONS
from cdp_assets.identity.match_model import ELSE, MATCH_COLUMNS

Record = dict[str, str]
MISSING = "missing"


def levels(left: Record, right: Record) -> dict[str, str]:
    """The label of the level that two records reach, by comparison."""
    values = ", ".join(
        f"cast({_literal(record.get(column))} as"
        f" {'integer' if column == 'birth_days' else 'varchar'}) as {column}_{side}"
        for side, record in (("l", left), ("r", right))
        for column in MATCH_COLUMNS
    )
    reached = ", ".join(
        "case "
        + " ".join(
            f"when {'true' if level.condition == ELSE else level.condition} then '{level.label}'"
            for level in comparison.levels
        )
        + f" end as {comparison.name}"
        for comparison in COMPARISONS
    )
    with duckdb.connect() as connection:
        (row,) = connection.sql(f"select {reached} from (select {values})").fetchall()
    return dict(zip((item.name for item in COMPARISONS), row, strict=True))


def _literal(value: str | None) -> str:
    return "null" if value is None else f"'{value}'"


def named(first_name: str, last_name: str) -> Record:
    return {
        "first_name": first_name,
        "first_name_key": first_name,
        "last_name": last_name,
        "full_name": f"{first_name} {last_name}",
    }


@pytest.mark.parametrize(
    ("other", "label"),
    [
        (named("webber", "holly"), "swapped with the last name"),
        (named("weber", "hollly"), "swapped with the last name, mistyped"),
        (named("webber", "clara"), "one name in the place of the other"),
        (named("clara", "hokly"), "one name in the place of the other, mistyped"),
        (named("clara", "hazel"), "different"),
    ],
)
def test_names_that_changed_places_are_known_also_when_mistyped_and_count_once(other, label):
    for pair in ((named("holly", "webber"), other), (other, named("holly", "webber"))):
        reached = levels(*pair)
        assert reached["first_name"] == label
        assert (reached["last_name"] == MISSING) == (label != "different")


def test_a_name_that_is_in_its_place_is_not_looked_for_in_the_other():
    reached = levels(named("martin", "martins"), named("marten", "martins"))
    assert reached["first_name"] == "one edit, or letters in another order"
    assert reached["last_name"] == "same"


def test_short_names_are_not_taken_for_mistyped_ones():
    assert levels(named("ann", "lee"), named("leo", "ang"))["first_name"] == "different"


def at(street: str) -> Record:
    return {"street": street, "postcode": "3121", "city": "toorak"}


@pytest.mark.parametrize(
    ("street", "other", "label"),
    [
        ("9 tunney crescent", "9 tunney crescent argyle", "similar address"),
        ("12 high street", "12 high street flat 4", "similar address"),
        ("12 high street", "12 hihg street", "similar address"),
        ("12 high street", "14 high street", "another street of the postcode"),
        ("po box 12", "po box 123", "another street of the postcode"),
        ("12 high", "12 high meadow lane", "another street of the postcode"),
    ],
)
def test_an_address_without_its_flat_or_district_is_similar_and_another_number_is_not(
    street, other, label
):
    for pair in ((street, other), (other, street)):
        reached = levels(*(at(each) | named("holly", "webber") for each in pair))
        assert reached["contact"] == label
        # Who shares an address is judged as people of one home are.
        assert (reached["household_first_name"] == MISSING) == (label != "similar address")
