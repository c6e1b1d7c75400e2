"""How names and contact points get written down: nicknames, slips, forms, tags, junk.

Here: truth in, text out; each function takes the dice of its channel and the ids of the rows.
Not here: what is true (people.py), or the format of an object (the channel modules).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from cdp_assets.sample import text
from cdp_assets.sample.dice import Dice
from cdp_assets.sample.people import People
from cdp_assets.sample.phones import Numbers
from cdp_assets.sample.vocabulary import (
    EMAIL_DOMAINS,
    FIRST_NAMES,
    JUNK_EMAILS,
    JUNK_PHONES,
    JUNK_TEXTS,
    NICKNAMES,
    PHONE_FORM_WEIGHTS,
    SURNAMES,
    misspell,
)

_NICKNAMES = 3
_SLIPS = 4
_FORMAL, _UPPER, _LOWER, _INITIAL = 0, 8, 9, 10


def _forms(name: str, nicknames: list[str]) -> list[str]:
    nicks = [nicknames[i % len(nicknames)] for i in range(_NICKNAMES)]
    return [name, *nicks, *misspell(name), name.upper(), name.lower(), name[0] + "."]


_FIRST_FORMS = text.strings(
    [
        form
        for name, nicks in zip(FIRST_NAMES, NICKNAMES, strict=True)
        for form in _forms(name, nicks)
    ]
)
_LAST_FORMS = text.strings([form for name in SURNAMES for form in _forms(name, [name])])
_COLUMNS = len(_forms("Name", ["Nick"]))
_JUNK_EMAILS = text.strings(JUNK_EMAILS)
_JUNK_PHONES = text.strings(JUNK_PHONES)
_JUNK_TEXTS = text.strings(JUNK_TEXTS)


def first_names(
    people: People, who: np.ndarray, dice: Dice, ids: np.ndarray, nicknames: float = 0.10
) -> text.Strings:
    """First names as given: formal, a nickname, misspelt, in capitals, lower case, an initial.

    Args:
        people: the truth.
        who: (n,) person index.
        dice: of the channel.
        ids: (n,) row ids: equal ids write equally.
        nicknames: share of rows that use a nickname.
    """
    kind = dice.pick("first form", ids, (0.93 - nicknames, nicknames, 0.03, 0.02, 0.015, 0.005))
    column = np.select(
        [kind == 1, kind == 2, kind == 3, kind == 4, kind == 5],
        [
            # A person goes by the same nickname everywhere.
            1 + people.dice.below("nickname", who, _NICKNAMES),
            1 + _NICKNAMES + dice.below("first slip", ids, _SLIPS),
            np.full(len(ids), _UPPER),
            np.full(len(ids), _LOWER),
            np.full(len(ids), _INITIAL),
        ],
        _FORMAL,
    )
    return text.take(_FIRST_FORMS, people.first[who] * _COLUMNS + column)


def last_names(
    people: People, who: np.ndarray, day: np.ndarray | int, dice: Dice, ids: np.ndarray
) -> text.Strings:
    """Surnames as given on a day: before or after a marriage, hyphenated, misspelt, in capitals."""
    is_changed = people.married_day[who] <= day
    kind = dice.pick("last form", ids, (0.93, 0.035, 0.025, 0.01))
    column = np.select(
        [kind == 1, kind == 2, kind == 3],
        [1 + _NICKNAMES + dice.below("last slip", ids, _SLIPS), _UPPER, _LOWER],
        _FORMAL,
    )
    # "Null" and "NA" are written as they are: in capitals or not, they are somebody's name.
    last = np.where(is_changed, people.last[who], people.last_old[who])
    plain = text.take(_LAST_FORMS, last * _COLUMNS + column)
    both = text.join(text.take(_LAST_FORMS, people.last_old[who] * _COLUMNS), "-", plain)
    return text.either(is_changed & people.is_hyphenated[who], both, plain)


def emails(addresses: pa.Array, dice: Dice, ids: np.ndarray, slips: float = 0.02) -> text.Strings:
    """Addresses as typed: capitals, a +tag, other dots (one mailbox at gmail), blanks, slips.

    Args:
        addresses: (n,) true addresses.
        dice: of the channel.
        ids: (n,) row ids.
        slips: share of rows with a mistake that makes it another address.
    """
    out = addresses
    kind = dice.pick(
        "email form", ids, (0.89 - slips, 0.05, 0.015, 0.015, 0.02, 0.01, slips / 2, slips / 2)
    )
    for number, rewrite in enumerate(_EMAIL_FORMS, start=1):
        out = _patched(out, kind == number, rewrite)
    return out


def junk_emails(dice: Dice, ids: np.ndarray) -> text.Strings:
    """What gets typed to get past a required email field."""
    return text.take(_JUNK_EMAILS, dice.below("junk email", ids, len(_JUNK_EMAILS)))


def junk_texts(dice: Dice, ids: np.ndarray) -> text.Strings:
    """What gets typed to get past any required field."""
    return text.take(_JUNK_TEXTS, dice.below("junk text", ids, len(_JUNK_TEXTS)))


def phones(numbers: Numbers, dice: Dice, ids: np.ndarray, junk: float = 0.01) -> text.Strings:
    """Phone numbers as written: E.164, national, with blanks, brackets or dots; some as junk.

    A few have been through a spreadsheet and read like 4.15555E9.
    """
    written = numbers.write(dice.pick("phone form", ids, PHONE_FORM_WEIGHTS))
    fake = text.take(_JUNK_PHONES, dice.below("junk phone", ids, len(_JUNK_PHONES)))
    return text.either(dice.chance("is junk phone", ids, junk), fake, written)


def _patched(
    values: pa.Array, where: np.ndarray, rewrite: Callable[[pa.Array], pa.Array]
) -> text.Strings:
    mask = pa.array(where)
    return text.kernels.replace_with_mask(values, mask, rewrite(values.filter(mask)))


def _with_tag(values: pa.Array) -> pa.Array:
    return text.kernels.replace_substring(values, "@", "+fernhill@")


def _with_dots(values: pa.Array) -> pa.Array:
    dotted = text.kernels.binary_replace_slice(values, 3, 3, ".")
    is_safe = text.kernels.match_substring_regex(
        values, r"^[a-z0-9]{4,}[a-z0-9._]*@g(oogle)?mail\.com$"
    )
    return text.kernels.if_else(is_safe, dotted, values)


def _with_blanks(values: pa.Array) -> pa.Array:
    return text.kernels.binary_join_element_wise(" ", values, " ", "")


def _with_domain_slip(values: pa.Array) -> pa.Array:
    for domain, slip in EMAIL_DOMAINS:
        values = text.kernels.replace_substring(values, "@" + domain, "@" + slip)
    return values


def _with_local_slip(values: pa.Array) -> pa.Array:
    return text.kernels.binary_replace_slice(values, 2, 3, "")


_EMAIL_FORMS: tuple[Callable[[pa.Array], pa.Array], ...] = (
    text.kernels.utf8_capitalize,
    text.kernels.utf8_upper,
    _with_tag,
    _with_dots,
    _with_blanks,
    _with_domain_slip,
    _with_local_slip,
)
