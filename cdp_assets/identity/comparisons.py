"""What two records are compared by: comparisons, blocking rules and vetoes, as data.

Every condition is SQL that DuckDB and Athena read alike; within a comparison the cheapest and
surest test comes first. The numbers are what we assume before any data is seen, and what training
is drawn to where data are few: `m`, how often records of one person are on a level, `u`, how often
records of two people are. Not here: the numbers that ship (`models/default.json`), how they are
learned (`training.py`).

Households are the hard part: relatives share address, phone, mailbox and surname, and a model that
adds up what each of these says takes them for one person. So two records that share a contact
point are judged by comparisons of their own (`household_...`): there, an equal surname or birth
date says what it says among people of one home, which is little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cdp_assets.identity.match_model import ELSE, BlockingRule, Comparison, Level, Veto

# --- Conditions -----------------------------------------------------------------------------------


def _missing(*columns: str) -> str:
    return " and ".join(f"({column}_l is null or {column}_r is null)" for column in columns)


def _same(column: str) -> str:
    return f"{column}_l = {column}_r"


def _edits(column: str, edits: int, least_length: int) -> str:
    """At most so many edits between two values that are both long enough for it."""
    return _edits_between(f"{column}_l", f"{column}_r", edits, least_length)


def _edits_between(one: str, other: str, edits: int, least_length: int) -> str:
    return (
        f"length({one}) >= {least_length} and length({other}) >= {least_length}"
        f" and abs(length({one}) - length({other})) <= {edits}"
        f" and levenshtein({one}, {other}) <= {edits}"
    )


def _continues(column: str, least_length: int) -> str:
    """One value is the other and more."""
    return " or ".join(
        f"(length({column}_{short}) between {least_length} and length({column}_{long})"
        f" and substr({column}_{long}, 1, length({column}_{short})) = {column}_{short})"
        for short, long in ("lr", "rl")
    )


def _begins(column: str, letters: int) -> str:
    return f"substr({column}_l, 1, {letters}) = substr({column}_r, 1, {letters})"


_SWAPPED: Final = "first_name_l = last_name_r and first_name_r = last_name_l"
_MISPLACED: Final = "first_name_l = last_name_r or first_name_r = last_name_l"
# What is written in another place is mistyped as often as elsewhere. The first letters
# stand before the edits only because edits are dear.
_FIRST_AS_LAST, _LAST_AS_FIRST = (
    f"(substr({one}, 1, 1) = substr({other}, 1, 1) and {_edits_between(one, other, 1, 4)})"
    for one, other in (("first_name_l", "last_name_r"), ("last_name_l", "first_name_r"))
)
_NEITHER_IN_PLACE: Final = "first_name_l <> first_name_r and last_name_l <> last_name_r"
_NEARLY_SWAPPED: Final = f"({_NEITHER_IN_PLACE} and {_FIRST_AS_LAST} and {_LAST_AS_FIRST})"
_NEARLY_MISPLACED: Final = f"({_NEITHER_IN_PLACE} and ({_FIRST_AS_LAST} or {_LAST_AS_FIRST}))"
_SAME_NAMES: Final = "first_name_l = first_name_r and last_name_l = last_name_r"
# Many have a telephone at home and one in the pocket.
_SAME_PHONE: Final = (
    "(phone_l = phone_r or phone_l = other_phone_r or other_phone_l = phone_r"
    " or other_phone_l = other_phone_r)"
)
_SAME_PLACE: Final = f"({_same('postcode')} or {_same('city')})"
_SAME_ADDRESS: Final = f"({_same('street')} and {_SAME_PLACE})"
# A flat or a district is often left out. Not where only the number differs: that is another house.
_SIMILAR_STREET: Final = (
    f"({_edits('street', 3, 7)} or {_continues('street', 9)})"
    " and translate(street_l, '0123456789', '') <> translate(street_r, '0123456789', '')"
)
_SIMILAR_ADDRESS: Final = f"({_SAME_PLACE} and {_SIMILAR_STREET})"
# Contact points that a household shares; a mailbox is one of them too, but rarely a home's.
# The first two letters stand before the edits only because edits are dear.
_SAME_HOME: Final = (
    f"({_SAME_ADDRESS} or {_SAME_PHONE}"
    f" or ({_SAME_PLACE} and {_begins('street', 2)} and {_SIMILAR_STREET}))"
)
_SAME_CONTACT: Final = f"({_same('email')} or {_SAME_HOME})"


def _in_household(
    comparison: Comparison, us: Sequence[float], shared: str
) -> tuple[Comparison, Comparison]:
    """Two comparisons of one: for records that share nothing, and for those that do.

    Args:
        comparison: of any two records.
        us: the u of its levels, but for the null level, among records that share.
        shared: SQL that is true of records that share.
    """
    missing, *levels = comparison.levels
    apart = replace(missing, condition=f"{missing.condition} or {shared}")
    together = replace(missing, condition=f"{missing.condition} or not coalesce({shared}, false)")
    return (
        Comparison(comparison.name, (apart, *levels)),
        Comparison(
            f"household_{comparison.name}",
            (
                together,
                *(
                    replace(level, u=u, tf_column=None, tf_minimum=0.0)
                    for level, u in zip(levels, us, strict=True)
                ),
            ),
        ),
    )


# --- Comparisons ----------------------------------------------------------------------------------

_ANY_FIRST_NAME: Final = Comparison(
    "first_name",
    (
        Level("missing", _missing("first_name"), is_null=True),
        Level("same", _same("first_name"), 0.72, 0.003, tf_column="first_name", tf_minimum=1e-4),
        Level("nickname", _same("first_name_key"), 0.06, 0.002),
        Level("swapped with the last name", _SWAPPED, 0.02, 1e-6),
        Level(
            "one name in the place of the other",
            _MISPLACED,
            0.005,
            0.0005,
        ),
        Level("swapped with the last name, mistyped", _NEARLY_SWAPPED, 0.003, 2e-6),
        Level(
            "one name in the place of the other, mistyped",
            _NEARLY_MISPLACED,
            0.003,
            0.0005,
        ),
        Level(
            "one edit, or letters in another order",
            f"{_edits('first_name', 1, 3)} or {_same('first_name_letters')}",
            0.08,
            0.001,
        ),
        Level("same sound", _same("first_name_sound"), 0.01, 0.004),
        Level(
            "two or three edits",
            f"{_edits('first_name', 2, 5)} or {_edits('first_name', 3, 8)}",
            0.03,
            0.002,
        ),
        Level(
            "initial",
            "(length(first_name_l) = 1 or length(first_name_r) = 1)"
            f" and {_begins('first_name', 1)}",
            0.03,
            0.002,
        ),
        Level(
            "one ends like the other",
            "(length(first_name_l) between 3 and length(first_name_r)"
            " and substr(first_name_r, 1 + length(first_name_r) - length(first_name_l))"
            " = first_name_l)"
            " or (length(first_name_r) between 3 and length(first_name_l)"
            " and substr(first_name_l, 1 + length(first_name_l) - length(first_name_r))"
            " = first_name_r)",
            0.005,
            0.0005,
        ),
        Level("same beginning", _begins("first_name", 3), 0.015, 0.006),
        Level("different", ELSE, 0.03, 0.98),
    ),
)

_FIRST_NAME_APART, _HOUSEHOLD_FIRST_NAME = _in_household(
    _ANY_FIRST_NAME,
    (0.02, 0.003, 1e-5, 0.001, 1e-5, 0.001, 0.004, 0.005, 0.005, 0.004, 0.001, 0.015, 0.94),
    _SAME_CONTACT,
)
# First and last names go together (a Vijay is a Sharma more often than a Smith): two equal names
# are as rare as the whole name is, not as their frequencies multiplied.
_FIRST_NAME: Final = Comparison(
    "first_name",
    (
        _FIRST_NAME_APART.levels[0],
        Level(
            "same, and the last name",
            _SAME_NAMES,
            0.5,
            2e-5,
            tf_column="full_name",
            tf_minimum=1e-7,
        ),
        replace(_FIRST_NAME_APART.levels[1], m=0.22),
        *_FIRST_NAME_APART.levels[2:],
    ),
)

_ANY_LAST_NAME: Final = Comparison(
    "last_name",
    (
        # A swap counts once, with the first name.
        Level(
            "missing",
            f"{_missing('last_name')} or {_MISPLACED} or {_NEARLY_MISPLACED}",
            is_null=True,
        ),
        Level("same", _same("last_name"), 0.78, 0.002, tf_column="last_name", tf_minimum=1e-5),
        Level("one edit", _edits("last_name", 1, 3), 0.08, 0.0005),
        Level(
            "two or three edits",
            f"{_edits('last_name', 2, 5)} or {_edits('last_name', 3, 8)}",
            0.04,
            0.001,
        ),
        Level("same sound", _same("last_name_sound"), 0.01, 0.001),
        Level(
            "one name of several",
            "split_part(last_name_l, ' ', 1) = split_part(last_name_r, ' ', 1)"
            " or last_name_l = split_part(last_name_r, ' ', 2)"
            " or last_name_r = split_part(last_name_l, ' ', 2)",
            0.02,
            0.0003,
        ),
        Level("different", ELSE, 0.07, 0.995),
    ),
)
_LAST_NAME_APART, _HOUSEHOLD_LAST_NAME = _in_household(
    _ANY_LAST_NAME, (0.7, 0.02, 0.005, 0.005, 0.02, 0.25), _SAME_CONTACT
)

_LAST_NAME: Final = Comparison(
    "last_name",
    (
        replace(
            _LAST_NAME_APART.levels[0],
            condition=f"{_LAST_NAME_APART.levels[0].condition} or ({_SAME_NAMES})",
        ),
        *_LAST_NAME_APART.levels[1:],
    ),
)

_SAME_YEAR: Final = _begins("birth_date", 4)
_SAME_MONTH: Final = "substr(birth_date_l, 6, 2) = substr(birth_date_r, 6, 2)"
_SAME_DAY: Final = "substr(birth_date_l, 9, 2) = substr(birth_date_r, 9, 2)"

_ANY_BIRTH_DATE: Final = Comparison(
    "birth_date",
    (
        Level("missing", _missing("birth_date"), is_null=True),
        Level("same", _same("birth_date"), 0.86, 5e-5),
        Level(
            "day and month swapped",
            f"{_SAME_YEAR}"
            " and substr(birth_date_l, 6, 2) = substr(birth_date_r, 9, 2)"
            " and substr(birth_date_l, 9, 2) = substr(birth_date_r, 6, 2)",
            0.015,
            1e-5,
        ),
        Level("one digit", _edits("birth_date", 1, 8), 0.04, 0.0005),
        Level(
            "two of year, month and day",
            f"({_SAME_YEAR} and {_SAME_MONTH}) or ({_SAME_YEAR} and {_SAME_DAY})"
            f" or ({_SAME_MONTH} and {_SAME_DAY})",
            0.03,
            0.004,
        ),
        Level("two digits", _edits("birth_date", 2, 8), 0.015, 0.004),
        Level("within a year", "abs(birth_days_l - birth_days_r) <= 366", 0.01, 0.02),
        # Nearer than parent and child.
        Level("within a dozen years", "abs(birth_days_l - birth_days_r) <= 4383", 0.015, 0.2),
        Level("different", ELSE, 0.015, 0.77),
    ),
)
_BIRTH_DATE, _HOUSEHOLD_BIRTH_DATE = _in_household(
    _ANY_BIRTH_DATE, (0.01, 0.0005, 0.001, 0.004, 0.006, 0.025, 0.3, 0.65), _SAME_CONTACT
)

_GENDER: Final = Comparison(
    "gender",
    (
        Level("missing", _missing("gender"), is_null=True),
        Level("same", _same("gender"), 0.97, 0.5),
        Level("different", ELSE, 0.03, 0.5),
    ),
)

# Two mailboxes that are alike because both are the name say no more than the names: other digits or
# dots (john.smith1@, john_smith2@), or another provider and no digits.
_MAILBOX_L: Final = "split_part(email_l, '@', 1)"
_MAILBOX_R: Final = "split_part(email_r, '@', 1)"
_ONLY_THE_NAME: Final = (
    f"(({_MAILBOX_L} <> {_MAILBOX_R}"
    f" and translate({_MAILBOX_L}, '0123456789._-', '')"
    f" = translate({_MAILBOX_R}, '0123456789._-', ''))"
    f" or ({_MAILBOX_L} = {_MAILBOX_R} and email_l <> email_r"
    f" and translate({_MAILBOX_L}, '0123456789', '') = {_MAILBOX_L}"
    " and levenshtein(email_l, email_r) > 2))"
)

_ANY_EMAIL: Final = Comparison(
    "email",
    (
        Level(
            "missing",
            f"{_missing('email')} or {_ONLY_THE_NAME}",
            is_null=True,
        ),
        Level("same", _same("email"), 0.6, 2e-6),
        Level("one or two edits", _edits("email", 2, 10), 0.06, 2e-6),
        Level("same mailbox elsewhere", f"{_MAILBOX_L} = {_MAILBOX_R}", 0.02, 1e-6),
        Level("different", ELSE, 0.32, 0.9999),
    ),
)
_EMAIL, _HOUSEHOLD_EMAIL = _in_household(_ANY_EMAIL, (0.1, 0.002, 0.001, 0.9), _SAME_HOME)

_ADDRESS: Final = ("street", "city", "postcode", "state")

_CONTACT: Final = Comparison(
    "contact",
    (
        Level("missing", f"{_missing('phone')} and {_missing(*_ADDRESS)}", is_null=True),
        Level("same phone and address", f"{_SAME_PHONE} and {_SAME_ADDRESS}", 0.3, 2e-6),
        Level("same phone", _SAME_PHONE, 0.15, 3e-6),
        Level("same address", _SAME_ADDRESS, 0.2, 6e-6),
        Level("similar address", _SIMILAR_ADDRESS, 0.1, 3e-6),
        Level("phone but for one digit", _edits("phone", 1, 8), 0.02, 2e-6),
        Level("same street", _same("street"), 0.02, 1e-5),
        Level(
            "another street of the postcode",
            f"street_l <> street_r and {_same('postcode')}",
            0.03,
            0.001,
        ),
        # Namesakes in one town live in different streets, and in a large one there are many.
        Level(
            "another street of the city",
            f"street_l <> street_r and {_same('city')}",
            0.03,
            0.02,
            tf_column="city",
            tf_minimum=0.05,
        ),
        Level("same postcode", _same("postcode"), 0.04, 0.001),
        Level("same city", _same("city"), 0.04, 0.02, tf_column="city", tf_minimum=0.01),
        Level("similar city", _edits("city", 2, 5), 0.02, 0.001),
        Level("same state", _same("state"), 0.03, 0.1),
        Level("different", ELSE, 0.05, 0.87),
    ),
)

_ANY_NATIONAL_ID: Final = Comparison(
    "national_id",
    (
        Level("missing", _missing("national_id"), is_null=True),
        Level("same", _same("national_id"), 0.9, 1e-6),
        Level("one or two edits", _edits("national_id", 2, 7), 0.06, 1e-4),
        Level("different", ELSE, 0.04, 0.9999),
    ),
)
# Relatives borrow each other's: tax forms are full of it.
_NATIONAL_ID, _HOUSEHOLD_NATIONAL_ID = _in_household(
    _ANY_NATIONAL_ID, (0.001, 0.001, 0.998), _SAME_CONTACT
)

_LOYALTY_ID: Final = Comparison(
    "loyalty_id",
    (
        Level("missing", _missing("loyalty_id"), is_null=True),
        Level("same", _same("loyalty_id"), 0.9, 1e-6),
        Level("different", ELSE, 0.1, 0.999999),
    ),
)

COMPARISONS: Final = (
    _FIRST_NAME,
    _HOUSEHOLD_FIRST_NAME,
    _LAST_NAME,
    _HOUSEHOLD_LAST_NAME,
    _BIRTH_DATE,
    _HOUSEHOLD_BIRTH_DATE,
    _GENDER,
    _CONTACT,
    _EMAIL,
    _HOUSEHOLD_EMAIL,
    _NATIONAL_ID,
    _HOUSEHOLD_NATIONAL_ID,
    _LOYALTY_ID,
)

# --- Blocking -------------------------------------------------------------------------------------

_BOTH_NAMES: Final = (
    "case when first_name < last_name then first_name || '|' || last_name"
    " else last_name || '|' || first_name end"
)
# Keys that many people share: good in a small set, where blocks are small, and dear in a large
# one, where they are not. The cap decides.
_LOOSE: Final = 8

BLOCKING: Final = (
    BlockingRule("national_id", "national_id"),
    BlockingRule("loyalty_id", "loyalty_id"),
    BlockingRule("email", "email"),
    BlockingRule("phone", "phone"),
    BlockingRule("first_name_birth_date", "first_name_key || '|' || birth_date"),
    BlockingRule("last_name_birth_date", "last_name || '|' || birth_date"),
    BlockingRule("names_birth_year", f"{_BOTH_NAMES} || '|' || substr(birth_date, 1, 4)"),
    BlockingRule(
        "names_birthday", "first_name_key || '|' || last_name || '|' || substr(birth_date, 6, 5)"
    ),
    BlockingRule("names_city", "first_name_key || '|' || last_name || '|' || city"),
    BlockingRule("names", _BOTH_NAMES, 12),
    BlockingRule("birth_date", "birth_date", _LOOSE),
    BlockingRule("birth_date_place", "birth_date || '|' || coalesce(postcode, city)"),
    BlockingRule("street", "street", _LOOSE),
    BlockingRule(
        "street_begins_place", "substr(street, 1, 10) || '|' || coalesce(postcode, city)", _LOOSE
    ),
    BlockingRule("street_first_name", "street || '|' || substr(first_name, 1, 2)", 20),
    BlockingRule(
        "names_begin", "substr(last_name, 1, 4) || '|' || substr(first_name, 1, 2)", _LOOSE
    ),
    BlockingRule("last_name_city", "last_name || '|' || city", _LOOSE),
    BlockingRule("first_name_city", "first_name_key || '|' || city", _LOOSE),
    BlockingRule("birth_month_city", "substr(birth_date, 1, 7) || '|' || city", _LOOSE),
    BlockingRule("email_begins", "substr(email, 1, 7)", _LOOSE),
)

# --- Vetoes ---------------------------------------------------------------------------------------

_ID_AGREES: Final = "(gamma_national_id >= 1 or gamma_household_national_id >= 1)"
_ID_DIFFERS: Final = "(gamma_national_id = 0 or gamma_household_national_id = 0)"
_NAMES_DIFFER: Final = "(gamma_first_name = 0 or gamma_household_first_name = 0)"
_GENERATION: Final = "(gamma_birth_date = 0 or gamma_household_birth_date = 0)"


def _reaches(comparison: Comparison, label: str) -> str:
    """That two records agree in a comparison at least as much as on the level of this label."""
    numbers = {level.label: number for number, level in comparison.numbered()}
    return f"gamma_{comparison.name} >= {numbers[label]}"


# What no sum of small agreements outweighs; the rest is for the weights to say.
VETOES: Final = (
    # Father and son of one name.
    Veto("a_generation_apart", f"gamma_household_birth_date = 0 and not {_ID_AGREES}"),
    Veto(
        "conflicting_names_and_birth_dates",
        f"{_NAMES_DIFFER} and {_GENERATION} and not {_ID_AGREES}",
    ),
    # Registered by one mailbox or telephone, twins agree on everything else.
    Veto(
        "twins",
        f"gamma_household_first_name = 0 and {_reaches(_HOUSEHOLD_BIRTH_DATE, 'same')}"
        f" and {_reaches(_HOUSEHOLD_LAST_NAME, 'one edit')}"
        f" and ({_reaches(_HOUSEHOLD_EMAIL, 'same')} or {_reaches(_CONTACT, 'same phone')})"
        f" and not {_ID_AGREES}",
    ),
    Veto("conflicting_ids_and_birth_dates", f"{_ID_DIFFERS} and {_GENERATION}"),
)

# --- Doubts ---------------------------------------------------------------------------------------

# Even a rare name has namesakes that no sample shows: a third thing must agree.
DOUBTS: Final = (
    Veto(
        "names_alone",
        " and ".join(
            f"gamma_{name} < 1"
            for name in (
                "birth_date",
                "household_birth_date",
                "email",
                "household_email",
                "national_id",
                "household_national_id",
                "loyalty_id",
            )
        )
        # The same state is no third thing.
        + " and gamma_contact < 2",
    ),
)
