"""What two records are compared by: comparisons, blocking rules and vetoes, as data.

Every condition is SQL that DuckDB and Athena read alike, and stands from the cheapest and
surest down. The numbers are what we assume before any data is seen: `m`, how often records of one
person are on a level, comes from how people mistype; `u`, how often two people are, is replaced by
training. Not here: the numbers that ship (`models/default.json`), how they are learned
(`training.py`).

What a household shares is one comparison (the address) or one level with a term frequency, so
that relatives are never close because of five columns that say the same.
"""

from __future__ import annotations

from typing import Final

from cdp_assets.identity.match_model import ELSE, BlockingRule, Comparison, Level, Veto


def _missing(*columns: str) -> Level:
    condition = " or ".join(f"{column}_l is null or {column}_r is null" for column in columns)
    return Level("missing", condition, is_null=True)


def _equal(column: str) -> str:
    return f"{column}_l = {column}_r"


def _edits(column: str, edits: int, least_length: int) -> str:
    """At most so many edits between two values that are both long enough for it."""
    return (
        f"length({column}_l) >= {least_length} and length({column}_r) >= {least_length}"
        f" and abs(length({column}_l) - length({column}_r)) <= {edits}"
        f" and levenshtein({column}_l, {column}_r) <= {edits}"
    )


_SWAPPED = "first_name_l = last_name_r and first_name_r = last_name_l"

_FIRST_NAME = Comparison(
    "first_name",
    (
        _missing("first_name"),
        Level("same", _equal("first_name"), 0.72, 0.005, tf_column="first_name", tf_minimum=1e-4),
        Level("same by nickname", _equal("first_name_key"), 0.06, 0.002),
        Level("swapped with the last name", _SWAPPED, 0.02, 0.00001),
        Level("one edit", _edits("first_name", 1, 3), 0.08, 0.001),
        Level("two edits", _edits("first_name", 2, 5), 0.04, 0.003),
        Level(
            "initial",
            "(length(first_name_l) = 1 or length(first_name_r) = 1)"
            " and substr(first_name_l, 1, 1) = substr(first_name_r, 1, 1)",
            0.03,
            0.002,
        ),
        Level(
            "same beginning", "substr(first_name_l, 1, 3) = substr(first_name_r, 1, 3)", 0.02, 0.01
        ),
        Level("different", ELSE, 0.03, 0.97),
    ),
)

_LAST_NAME = Comparison(
    "last_name",
    (
        # A swap counts once, with the first name.
        Level(
            "missing",
            f"last_name_l is null or last_name_r is null or ({_SWAPPED})",
            is_null=True,
        ),
        Level("same", _equal("last_name"), 0.78, 0.002, tf_column="last_name", tf_minimum=1e-5),
        Level("one edit", _edits("last_name", 1, 3), 0.08, 0.0005),
        Level("two edits", _edits("last_name", 2, 5), 0.04, 0.002),
        Level(
            "one holds the other",
            "split_part(last_name_l, ' ', 1) = split_part(last_name_r, ' ', 1)"
            " or last_name_l = split_part(last_name_r, ' ', 2)"
            " or last_name_r = split_part(last_name_l, ' ', 2)",
            0.03,
            0.0005,
        ),
        Level("different", ELSE, 0.07, 0.995),
    ),
)

_SAME_YEAR = "substr(birth_date_l, 1, 4) = substr(birth_date_r, 1, 4)"
_SAME_MONTH = "substr(birth_date_l, 6, 2) = substr(birth_date_r, 6, 2)"
_SAME_DAY = "substr(birth_date_l, 9, 2) = substr(birth_date_r, 9, 2)"

_BIRTH_DATE = Comparison(
    "birth_date",
    (
        _missing("birth_date"),
        Level("same", _equal("birth_date"), 0.87, 0.00005),
        Level(
            "day and month swapped",
            f"{_SAME_YEAR}"
            " and substr(birth_date_l, 6, 2) = substr(birth_date_r, 9, 2)"
            " and substr(birth_date_l, 9, 2) = substr(birth_date_r, 6, 2)",
            0.015,
            0.00001,
        ),
        Level("one digit", _edits("birth_date", 1, 8), 0.04, 0.0003),
        Level(
            "two of year, month and day",
            f"({_SAME_YEAR} and {_SAME_MONTH}) or ({_SAME_YEAR} and {_SAME_DAY})"
            f" or ({_SAME_MONTH} and {_SAME_DAY})",
            0.03,
            0.004,
        ),
        Level("two digits", _edits("birth_date", 2, 8), 0.015, 0.004),
        Level("within a year", "abs(birth_days_l - birth_days_r) <= 366", 0.01, 0.02),
        Level("different", ELSE, 0.02, 0.97),
    ),
)

_GENDER = Comparison(
    "gender",
    (
        _missing("gender"),
        Level("same", _equal("gender"), 0.98, 0.5),
        Level("different", ELSE, 0.02, 0.5),
    ),
)

_EMAIL = Comparison(
    "email",
    (
        _missing("email"),
        Level("same", _equal("email"), 0.65, 0.00002, tf_column="email", tf_minimum=1e-6),
        Level(
            "same mailbox name",
            "split_part(email_l, '@', 1) = split_part(email_r, '@', 1)"
            " and length(split_part(email_l, '@', 1)) >= 5",
            0.04,
            0.00005,
        ),
        Level("two edits", _edits("email", 2, 10), 0.05, 0.00002),
        Level("different", ELSE, 0.26, 0.9999),
    ),
)

_PHONE = Comparison(
    "phone",
    (
        _missing("phone"),
        Level("same", _equal("phone"), 0.65, 0.00002, tf_column="phone", tf_minimum=1e-6),
        Level("one digit", _edits("phone", 1, 8), 0.04, 0.00002),
        Level("different", ELSE, 0.31, 0.9999),
    ),
)

_SAME_PLACE = f"({_equal('postcode')} or {_equal('city')})"

_ADDRESS = Comparison(
    "address",
    (
        Level(
            "missing",
            "(street_l is null or street_r is null) and (city_l is null or city_r is null)"
            " and (postcode_l is null or postcode_r is null)"
            " and (state_l is null or state_r is null)",
            is_null=True,
        ),
        Level("same street and place", f"{_equal('street')} and {_SAME_PLACE}", 0.55, 0.00005),
        Level(
            "similar street, same place",
            f"{_edits('street', 3, 7)} and {_SAME_PLACE}",
            0.1,
            0.00003,
        ),
        Level("same street", _equal("street"), 0.03, 0.0001),
        Level("same place", f"{_equal('postcode')} and {_equal('city')}", 0.08, 0.001),
        Level("same postcode", _equal("postcode"), 0.03, 0.001),
        Level("same city", _equal("city"), 0.06, 0.02, tf_column="city", tf_minimum=1e-3),
        Level("similar city", _edits("city", 2, 5), 0.03, 0.003),
        Level("same state", _equal("state"), 0.06, 0.1),
        Level("different", ELSE, 0.06, 0.87),
    ),
)

_NATIONAL_ID = Comparison(
    "national_id",
    (
        _missing("national_id"),
        Level("same", _equal("national_id"), 0.9, 0.000001),
        Level("two edits", _edits("national_id", 2, 7), 0.06, 0.0001),
        Level("different", ELSE, 0.04, 0.9999),
    ),
)

_LOYALTY_ID = Comparison(
    "loyalty_id",
    (
        _missing("loyalty_id"),
        Level("same", _equal("loyalty_id"), 0.9, 0.000001),
        Level("different", ELSE, 0.1, 0.999999),
    ),
)

COMPARISONS: Final = (
    _FIRST_NAME,
    _LAST_NAME,
    _BIRTH_DATE,
    _GENDER,
    _EMAIL,
    _PHONE,
    _ADDRESS,
    _NATIONAL_ID,
    _LOYALTY_ID,
)

BLOCKING: Final = (
    BlockingRule("national_id", "national_id"),
    BlockingRule("loyalty_id", "loyalty_id"),
    BlockingRule("email", "email"),
    BlockingRule("phone", "phone"),
    BlockingRule("last_name_birth_date", "last_name || '|' || birth_date"),
    BlockingRule("first_name_birth_date", "first_name_key || '|' || birth_date"),
    # The names in either order.
    BlockingRule(
        "names_birth_year",
        "case when first_name < last_name then first_name || '|' || last_name"
        " else last_name || '|' || first_name end || '|' || substr(birth_date, 1, 4)",
    ),
    BlockingRule(
        "names_birthday",
        "first_name_key || '|' || last_name || '|' || substr(birth_date, 6, 5)",
    ),
    BlockingRule("names_postcode", "first_name_key || '|' || last_name || '|' || postcode"),
    BlockingRule("names_city", "first_name_key || '|' || last_name || '|' || city"),
    BlockingRule("birth_date_postcode", "birth_date || '|' || postcode"),
    BlockingRule("street_first_name", "street || '|' || substr(first_name, 1, 2)", max_records=20),
)

VETOES: Final = (
    Veto("conflicting_first_names", "gamma_first_name = 0 and gamma_national_id < 2"),
    Veto("conflicting_birth_dates", "gamma_birth_date = 0 and gamma_national_id < 2"),
    Veto(
        "conflicting_national_ids",
        "gamma_national_id = 0 and gamma_birth_date <= 0",
    ),
)
