from __future__ import annotations

import json
from typing import Any

import pytest

from cdp_assets.errors import PlatformError
from cdp_assets.identity.match_model import (
    DEFAULT_MODEL,
    MATCH_COLUMNS,
    MatchModel,
    from_json,
    load_default,
)


def test_the_model_that_ships_is_read_and_written_without_change():
    content = DEFAULT_MODEL.read_bytes()
    assert from_json(content, "default").dump() == content


def test_the_model_that_ships_lists_no_rare_value():
    records = load_default().report["records"]
    for column, frequencies in load_default().term_frequencies.items():
        rarest = min(frequencies.values.values())
        assert rarest * records >= 10, column


def test_levels_are_numbered_as_splink_numbers_them():
    comparison = load_default().comparisons[0]
    numbers = [number for number, _ in comparison.numbered()]
    assert numbers == [-1, *range(len(numbers) - 2, -1, -1)]


def test_agreement_weighs_more_than_disagreement_in_every_comparison():
    for comparison in load_default().comparisons:
        assert comparison.levels[1].weight > comparison.levels[-1].weight, comparison.name


def test_what_the_sql_needs_is_one_line_without_values_of_people():
    compact = load_default().compact_json()
    assert "\n" not in compact
    assert len(compact) < 100_000
    assert not {"term_frequencies", "report"} & json.loads(compact).keys()


def test_the_rows_of_term_frequencies_hold_each_default_under_the_empty_value():
    model = small_model()
    assert model.term_frequency_rows() == [("city", "", 0.001), ("city", "ulm", 0.25)]


def test_what_is_no_json_is_refused():
    with pytest.raises(PlatformError, match=r"identity model m\.json is no JSON"):
        from_json("{", "m.json")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), 2, "format must be 1"),
        (("version",), "a/b", "version must be up to 63"),
        (("probability_two_random_records_match",), 0, "probability_two_random_records_match must"),
        (("comparisons",), [], "comparisons must be a list and not empty"),
        (("comparisons", 0, "name"), "City!", r"comparisons\[0\]\.name must be a name"),
        (("comparisons", 0, "levels", 0, "is_null"), False, r"comparisons\[0\]\.levels\[0\]\.m"),
        (("comparisons", 0, "levels", 1, "m"), "much", r"comparisons\[0\]\.levels\[1\]\.m must"),
        (("comparisons", 0, "levels", 1, "tf_column"), "shoe", r"tf_column is no column"),
        (("comparisons", 0, "levels", 1, "condition"), "shoe_l = 1", "'shoe_l'"),
        (("comparisons", 0, "levels", 1, "condition"), "city_l = 1; drop", "';'"),
        (("comparisons", 0, "levels", 1, "condition"), "city_l = 1 -- x", "holds a comment"),
        (("comparisons", 0, "levels", 1, "condition"), "md5(city_l) = 1", "'md5'"),
        (("comparisons", 0, "levels", 1, "condition"), "(city_l = 1", "has an open bracket"),
        (
            ("comparisons", 0, "levels", 2, "condition"),
            "city_l = 1",
            "must end with its one 'else'",
        ),
        (("blocking", 0, "key"), "shoe", r"blocking\[0\]\.key holds 'shoe'"),
        (("blocking", 0, "max_records"), 1, r"blocking\[0\]\.max_records must be"),
        (
            ("vetoes", 0, "condition"),
            "gamma_shoe = 0",
            r"vetoes\[0\]\.condition holds 'gamma_shoe'",
        ),
        (
            ("doubts", 0, "condition"),
            "gamma_shoe = 0",
            r"doubts\[0\]\.condition holds 'gamma_shoe'",
        ),
        (("term_frequencies",), {}, "term_frequencies lacks city"),
        (("term_frequencies", "city", "default"), 2, r"term_frequencies\.city\.default must"),
        (
            ("term_frequencies", "city", "values"),
            {"ulm": 0},
            r"term_frequencies\.city\.values must",
        ),
    ],
)
def test_a_damaged_model_is_refused_by_the_name_of_the_field(
    path: tuple[str | int, ...], value: Any, message: str
):
    content = json.loads(small_model().dump())
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(PlatformError, match=rf"identity model m\.json: .*{message}"):
        from_json(json.dumps(content), "m.json")


def test_every_condition_of_the_shipped_model_reads_known_columns_alone():
    # The reader would have refused another; this guards the list that it reads by.
    assert set(load_default().tf_columns) <= set(MATCH_COLUMNS)


def small_model() -> MatchModel:
    return from_json(
        json.dumps(
            {
                "format": 1,
                "version": "small",
                "probability_two_random_records_match": 0.001,
                "comparisons": [
                    {
                        "name": "city",
                        "levels": [
                            {
                                "label": "missing",
                                "condition": "city_l is null or city_r is null",
                                "is_null": True,
                            },
                            {
                                "label": "same",
                                "condition": "city_l = city_r",
                                "m": 0.9,
                                "u": 0.1,
                                "tf_column": "city",
                            },
                            {"label": "different", "condition": "else", "m": 0.1, "u": 0.9},
                        ],
                    }
                ],
                "blocking": [{"name": "city", "key": "city || '|' || state"}],
                "vetoes": [{"reason": "elsewhere", "condition": "gamma_city = 0"}],
                "doubts": [{"reason": "city_alone", "condition": "gamma_city = 1"}],
                "term_frequencies": {"city": {"default": 0.001, "values": {"ulm": 0.25}}},
            }
        ),
        "m.json",
    )
