"""Phones: the library's word is the last one, and the fast path never contradicts it."""

from __future__ import annotations

import random

import phonenumbers
import pyarrow as pa
import pytest

from cdp_assets.sources.phones import accept_plain_number, e164, parse_number, region_of

REGIONS = ["US", "CA", "JM", "GB", "GG", "DE", "FR", "ES", "IT", "VA", "AU", "BR", "MX", "RU", "KZ"]
MARKS = ["", " ", "-", ".", ") ", " ("]


def normalised(*pairs: tuple[str | None, str | None]) -> list[str | None]:
    numbers, countries = zip(*pairs, strict=True)
    return e164(
        pa.chunked_array([numbers], pa.string()), pa.chunked_array([countries], pa.string())
    ).to_pylist()


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [
        ("+44 (0)20 7946 0018", None, "+442079460018"),
        ("020 7946 0018", "United Kingdom", "+442079460018"),
        ("0044 20 7946 0018", "GB", "+442079460018"),
        ("(415) 555-2671", "US", "+14155552671"),
        ("1-415-555-2671", "usa", "+14155552671"),
        ("+1 415 555 2671 ext. 5", None, "+14155552671"),
        ("030 123456", "Deutschland", "+4930123456"),
        ("(415) 555-2671", None, None),
        ("(415) 555-2671", "Atlantis", None),
        ("0000000000", "US", None),
        ("12", "US", None),
        ("4.15555E9", "US", None),
        ("ann@example.com", "US", None),
        ("unknown", "US", None),
        ("+999 123 456 789", "US", None),
        (None, "US", None),
    ],
)
@pytest.mark.fault("F20")
def test_a_number_is_international_or_nothing(
    number: str | None, country: str | None, expected: str | None
) -> None:
    assert normalised((number, country)) == [expected]


def test_without_any_country_only_international_numbers_count() -> None:
    numbers = pa.chunked_array([["+14155552671", "415 555 2671", None]])
    assert e164(numbers, None).to_pylist() == ["+14155552671", None, None]


@pytest.mark.parametrize(
    ("country", "region"),
    [
        ("US", "US"),
        ("us", "US"),
        ("U.S.A.", "US"),
        ("United States", "US"),
        (" España ", "ES"),
        ("DEU", "DE"),
        ("Nowhere", None),
        ("", None),
        (None, None),
    ],
)
def test_countries_go_by_name_or_code(country: str | None, region: str | None) -> None:
    assert region_of(country) == region


def test_the_fast_path_says_what_the_library_says() -> None:
    dice = random.Random(20260301)
    cases = [_random_case(dice) for _ in range(6_000)] + list(_near_examples(dice))
    accepted = [(case, found) for case in cases if (found := accept_plain_number(*case))]
    assert len(accepted) > 2_000
    assert [case for case, found in accepted if parse_number(*case) != found] == []


def test_the_fast_path_takes_nearly_all_valid_numbers() -> None:
    dice = random.Random(20260302)
    valid = [case for case in _near_examples(dice) if parse_number(*case)]
    taken = [case for case in valid if accept_plain_number(*case)]
    assert len(taken) > 0.8 * len(valid)


def _random_case(dice: random.Random) -> tuple[str, str | None]:
    digits = "".join(dice.choices("0123456789", k=dice.randint(6, 12)))
    code = phonenumbers.country_code_for_region(dice.choice(REGIONS))
    number = (
        dice.choice(["", "0", "1", "00", "8", f"+{code}", f"+{code}0", f"+{code} (0)"]) + digits
    )
    return number[:4] + dice.choice(MARKS) + number[4:], dice.choice([*REGIONS, None])


def _near_examples(dice: random.Random) -> list[tuple[str, str | None]]:
    """The library's own examples with other last digits, in every form it writes."""
    cases: list[tuple[str, str | None]] = []
    for region in REGIONS:
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            for form in (0, 1, 2):
                text = phonenumbers.format_number(example, form)
                for _ in range(20):
                    other = f"{text[:-3]}{dice.randint(0, 999):03}"
                    cases += [(other, region), (other, dice.choice(REGIONS)), (other, None)]
    return cases
