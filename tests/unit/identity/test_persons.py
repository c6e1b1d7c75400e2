from __future__ import annotations

import pytest

from cdp_assets.identity.persons import compatible_birth_dates, compatible_names

NAMES = [
    ("anna", "anna", True),
    ("anna", "a", True),
    ("anna", "b", False),
    ("anna", "anne", True),
    ("ana", "ann", False),
    ("katherine", "cathrine", True),
    ("john", "mary", False),
    ("alexander", "alexandra", True),
    ("zoe", "zo", False),
    ("mary", "mray", True),
    ("lea", "ela", True),
    ("magdalena", "lena", True),
    ("isabelle", "isa", True),
    ("josephine", "jo", False),
    ("james", "janaz", True),
    ("victoria", "victuree", True),
    ("john", "jane", False),
    ("anna", "amy", False),
    ("philip", "filip", False),
    ("schwarz", "swartz", True),
]
BIRTH_DATES = [
    ("1980-03-12", "1980-03-12", True),
    ("1980-03-12", "1980-03-21", True),
    ("1980-03-12", "1980-12-03", True),
    ("1980-03-12", "1989-03-12", True),
    ("1980-03-12", "1980-04-13", False),
    ("1980-03-12", "1952-07-01", False),
]


@pytest.mark.parametrize(("left", "right", "expected"), NAMES)
def test_first_names_agree_when_they_can_be_one_name(left, right, expected):
    assert compatible_names(left, right) is compatible_names(right, left) is expected


@pytest.mark.parametrize(("left", "right", "expected"), BIRTH_DATES)
def test_birth_dates_agree_when_one_can_be_the_other_mistyped(left, right, expected):
    assert compatible_birth_dates(left, right) is compatible_birth_dates(right, left) is expected
