"""Training on a small town, whose records go wrong in known ways."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pyarrow as pa
import pytest

from cdp_assets.errors import PlatformError
from cdp_assets.identity.match_model import MatchModel, from_json
from cdp_assets.identity.training import Limits, train

LIMITS = Limits(records=2_000, random_pairs=100_000, em_pairs=20_000)
FIRST_NAMES = ("anna", "bruno", "carla", "david", "emma", "felix", "greta", "hugo", "ida", "jonas")
LAST_NAMES = tuple(
    f"{start}{end}" for start in ("kel", "mar", "bran") for end in ("ler", "tin", "dt")
)
EPOCH = date(1970, 1, 1)


@pytest.fixture(scope="module")
def records() -> pa.Table:
    return town(people=400)


@pytest.fixture(scope="module")
def model(records: pa.Table) -> MatchModel:
    return train(records, limits=LIMITS)


@pytest.fixture(scope="module")
def poorer(records: pa.Table) -> MatchModel:
    kept = [name for name in records.column_names if name not in ("phone", "gender", "street")]
    return train(records.select(kept), limits=LIMITS)


@pytest.mark.slow
def test_the_same_records_give_the_same_model_bit_by_bit(records: pa.Table, model: MatchModel):
    shuffled = records.take(pa.array(random.Random(3).sample(range(len(records)), len(records))))
    assert train(shuffled, limits=LIMITS).dump() == model.dump()


def test_a_trained_model_is_a_model_file(model: MatchModel):
    assert from_json(model.dump(), "trained") == model


def test_the_version_names_the_content(model: MatchModel, poorer: MatchModel):
    assert model.version.startswith("m-")
    assert poorer.version != model.version


def test_the_prior_is_about_the_share_of_pairs_that_are_one_person(model: MatchModel):
    # Three records each of 400 people: 1,200 pairs of 719,400.
    assert 0.5 < model.prior / (1_200 / 719_400) < 2


def test_what_agrees_by_chance_weighs_less_than_what_does_not(model: MatchModel):
    assert weight(model, "birth_date", "same") > weight(model, "last_name", "same") > 0
    assert weight(model, "birth_date", "different") < 0


def test_a_column_that_is_empty_keeps_what_was_assumed(model: MatchModel):
    assert model.report["filled"]["national_id"] == 0
    assert weight(model, "national_id", "same") > 15


def test_a_column_that_is_missing_is_taken_for_an_empty_one(poorer: MatchModel):
    assert poorer.report["filled"]["phone"] == 0
    assert weight(poorer, "birth_date", "same") > 0


@pytest.mark.slow
def test_no_rare_value_is_in_the_file(records: pa.Table, model: MatchModel):
    rare = pa.table({name: [None] * 3 for name in records.column_names}, schema=records.schema)
    rare = rare.set_column(0, "record_id", pa.array(["x1", "x2", "x3"]))
    rare = rare.set_column(
        records.column_names.index("last_name"), "last_name", pa.array(["quillfeather"] * 3)
    )
    trained = train(pa.concat_tables([records, rare]), limits=LIMITS)
    assert b"quillfeather" not in trained.dump()
    assert b"keller" in model.dump()


def test_two_records_are_the_least_to_train_on(records: pa.Table):
    with pytest.raises(PlatformError, match="at least two match records"):
        train(records.slice(0, 1))


def test_records_that_share_nothing_still_give_a_model(records: pa.Table):
    assert train(records.slice(0, 2), limits=LIMITS).prior > 0


def weight(model: MatchModel, comparison: str, label: str) -> float:
    (found,) = [item for item in model.comparisons if item.name == comparison]
    (level,) = [item for item in found.levels if item.label == label]
    return level.weight


def town(people: int) -> pa.Table:
    """Three records of each: as they are, one without contact, one with a slip of the pen."""
    chance = random.Random(1)
    rows = []
    for person in range(people):
        born = date(1950, 1, 1) + timedelta(days=chance.randrange(20_000))
        first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
        whole = {
            "first_name": first,
            "last_name": last,
            "birth_date": born.isoformat(),
            "gender": chance.choice("mf"),
            "email": f"{first}{person}@mail.example",
            "phone": f"+4930{person:07d}",
            "street": f"{person // 2} high street",
            "city": "ulm",
            "postcode": "89073",
        }
        contactless = {"email": None, "phone": None, "street": None}
        slip = {"first_name": first[:-1] + "x", "gender": None}
        for number, change in enumerate(({}, contactless, slip)):
            rows.append({"record_id": f"crm:contact:{person}-{number}"} | whole | change)
    for row in rows:
        row["birth_days"] = (date.fromisoformat(row["birth_date"]) - EPOCH).days
        row["first_name_key"] = row["first_name"]
        row["full_name"] = f"{row['first_name']} {row['last_name']}"
        row["first_name_letters"] = "".join(sorted(row["first_name"]))
    return pa.Table.from_pylist(rows)
