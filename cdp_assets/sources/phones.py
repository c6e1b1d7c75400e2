"""Phone numbers in international form (E.164), by Google's libphonenumber.

A number whose country is unknown and that is not written internationally is never guessed.
Not here: whether a phone identifies a person (identity's guards).
"""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
import pyarrow as pa


def e164(numbers: pa.ChunkedArray, countries: pa.ChunkedArray | None) -> pa.Array:
    """Each number as `+<country><national>`, NULL where it is none.

    Args:
        numbers: text as it was given.
        countries: country of each, a name or an ISO code; None where the source knows none.
    """
    given = numbers.to_pylist()
    where = countries.to_pylist() if countries is not None else [None] * len(given)
    made = [
        _e164(number, country) if number else None
        for number, country in zip(given, where, strict=True)
    ]
    return pa.array(made, pa.string())


@lru_cache(maxsize=200_000)
def _e164(number: str, country: str | None) -> str | None:
    region = country if country and len(country) == 2 else None
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
