"""Phone numbers in international form (E.164), by Google's libphonenumber.

A number whose country is unknown and that is not written internationally is never guessed.
Not here: whether a phone identifies a person (identity's guards).

The library takes about 20 us a number. Plain numbers, nearly all of them, are accepted by one
regular expression per country code, made from the library's own metadata; it accepts nothing
that the library would not, and what it does not accept goes to the library.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
import phonenumbers
import pyarrow as pa
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from cdp_assets.settings import DBT_PROJECT_DIR

# The spellings that cleansed knows too (macro country_lookup_key): one list for both.
_COUNTRIES_SEED: Final = DBT_PROJECT_DIR / "seeds" / "cleansed" / "countries.csv"
# What people write between digits, without meaning.
_PUNCTUATION: Final = str.maketrans("", "", " ().-\u00a0")
_MAX_CODE_DIGITS: Final = 3
# A cell of the cache takes about 200 bytes.
_CACHED_NUMBERS: Final = 200_000


def e164(numbers: pa.ChunkedArray, countries: pa.ChunkedArray | None) -> pa.Array:
    """Each number as `+<country code><national number>`, NULL where it is none.

    Args:
        numbers: text as it was given.
        countries: country of each, by name or ISO code; None where the source knows none.
    """
    is_given = numbers.is_valid()
    given = numbers.filter(is_given).to_pylist()
    where = countries.filter(is_given).to_pylist() if countries is not None else [None] * len(given)
    if len(_known) > _CACHED_NUMBERS:
        _known.clear()
    made = np.full(len(numbers), None, object)
    made[is_given.to_numpy()] = [_e164(pair) for pair in zip(given, where, strict=True)]
    return pa.array(made, pa.string())


def parse_number(number: str, region: str | None) -> str | None:
    """What the library makes of a number, valid ones only.

    Args:
        number: text as it was given.
        region: ISO 3166-1 alpha-2 code of the country it was written in, if known.
    """
    if "@" in number:
        return None
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def accept_plain_number(number: str, region: str | None) -> str | None:
    """The number in E.164 if it is a plain valid one; None means: ask the library."""
    digits = number.translate(_PUNCTUATION)
    if digits.startswith("+"):
        return _accept_international(digits)
    plan = _plan(region) if region else None
    if plan is None or not (digits.isascii() and digits.isdigit()):
        return None
    national = plan.national_number(digits)
    if national is None or not _valid_national_number(plan.country_code).fullmatch(national):
        return None
    return f"+{plan.country_code}{national}"


@lru_cache(maxsize=10_000)
def region_of(country: str | None) -> str | None:
    """ISO alpha-2 code of a country's name or code, None when it is not known."""
    if not country:
        return None
    decomposed = unicodedata.normalize("NFD", country.replace(".", "").strip().lower())
    key = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _countries().get(key)


# (number, country) -> E.164. Plain dictionary operations: safe from several threads.
_known: dict[tuple[str, str | None], str | None] = {}


def _e164(pair: tuple[str, str | None]) -> str | None:
    found = _known.get(pair, "")
    if found == "":
        number, country = pair
        region = region_of(country)
        found = accept_plain_number(number, region) or parse_number(number, region)
        _known[pair] = found
    return found


@cache
def _countries() -> dict[str, str]:
    with _COUNTRIES_SEED.open(encoding="utf-8", newline="") as handle:
        return {row["name"]: row["alpha2"] for row in csv.DictReader(handle)}


def _accept_international(digits: str) -> str | None:
    for length in range(1, _MAX_CODE_DIGITS + 1):
        code = digits[1 : 1 + length]
        if code.isdigit() and int(code) in COUNTRY_CODE_TO_REGION_CODE:
            national = digits[1 + length :]
            plan = _plan(COUNTRY_CODE_TO_REGION_CODE[int(code)][0])
            is_plain = plan and not plan.starts_with_prefix(national)
            if is_plain and _valid_national_number(int(code)).fullmatch(national):
                return digits
            return None
    return None


@dataclass(frozen=True)
class _Plan:
    """How one country writes its own numbers."""

    country_code: int
    international_prefix: re.Pattern[str]
    national_prefix: re.Pattern[str] | None
    is_prefix_simple: bool

    def starts_with_prefix(self, digits: str) -> bool:
        """Tell whether a national prefix could be taken off."""
        return bool(self.national_prefix and self.national_prefix.match(digits))

    def national_number(self, digits: str) -> str | None:
        """The number without its national prefix; None when that is not plain to see."""
        if digits.startswith(str(self.country_code)) or self.international_prefix.match(digits):
            return None
        prefix = self.national_prefix.match(digits) if self.national_prefix else None
        if prefix is None:
            return digits
        return digits[prefix.end() :] if self.is_prefix_simple else None


@cache
def _plan(region: str) -> _Plan | None:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.country_code is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    pattern = re.compile(prefix) if prefix else None
    return _Plan(
        country_code=metadata.country_code,
        # Without a pattern of its own the country has no such prefix: match nothing.
        international_prefix=re.compile(metadata.international_prefix or r"(?!)"),
        national_prefix=pattern,
        is_prefix_simple=not metadata.national_prefix_transform_rule
        and (pattern is None or pattern.groups == 0),
    )


@cache
def _valid_national_number(country_code: int) -> re.Pattern[str]:
    """Fixed-line and mobile numbers of every region of a country code.

    The library asks the regions in order; one with leading digits claims all numbers that start
    so, also those that it then finds invalid.
    """
    accepted: list[str] = []
    claimed = ""
    for region in COUNTRY_CODE_TO_REGION_CODE[country_code]:
        metadata = PhoneMetadata.metadata_for_region(region, None)
        if metadata is None:
            continue
        numbers = f"{_described(metadata.general_desc)}(?:{'|'.join(_numbers(metadata))})"
        leading = metadata.leading_digits
        accepted.append(f"{claimed}{f'(?={leading})' if leading else ''}{numbers}")
        claimed += f"(?!{leading})" if leading else ""
    return re.compile("|".join(f"(?:{pattern})" for pattern in accepted) or r"(?!)")


def _numbers(metadata: PhoneMetadata) -> Iterator[str]:
    for description in (metadata.mobile, metadata.fixed_line):
        if description and description.national_number_pattern:
            yield f"{_described(description)}{description.national_number_pattern}"


def _described(description: phonenumbers.PhoneNumberDesc | None) -> str:
    """A look ahead: the whole number has the description's pattern and one of its lengths."""
    if description is None or not description.national_number_pattern:
        return "(?!)"
    lengths = "|".join(rf"\d{{{length}}}\Z" for length in description.possible_length)
    has_length = f"(?={lengths})" if lengths else ""
    return rf"{has_length}(?=(?:{description.national_number_pattern})\Z)"
