"""Phone numbers that are valid in their country, and the ways people write them.

A number is a pure function of an index, one-to-one within a country, so numbers are unique
without a table. Source of the prefixes: the national numbering plans, as libphonenumber has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdp_assets.sample import text
from cdp_assets.sample.vocabulary import PHONE_PLANS

E164 = 0
EXCEL = 7
_FORMS = 8
_WIDTH = 11
# Coprime with every capacity (those have the factors 2, 3, 5, 7, 11, 13 only).
_STRIDE = 7_368_787
_MOBILE_TEMPLATES = tuple(form for plan in PHONE_PLANS for form in plan.forms)
_LANDLINE_TEMPLATES = tuple(form for plan in PHONE_PLANS for form in plan.landline_forms)


@dataclass(frozen=True)
class Numbers:
    """Phone numbers, one per row.

    Attributes:
        country: index into COUNTRIES.
        digits: (n, 11) ASCII digits of the national number, from the left.
        is_mobile: False for a landline; the two are written in different groups.
    """

    country: np.ndarray
    digits: np.ndarray
    is_mobile: np.ndarray

    def write(self, form: np.ndarray | int) -> text.Strings:
        """The numbers as text; `form` is an index into the forms of a plan (0 is E.164)."""
        which = self.country * _FORMS + form + np.where(self.is_mobile, 0, len(_MOBILE_TEMPLATES))
        return text.stamp(_MOBILE_TEMPLATES + _LANDLINE_TEMPLATES, which, self.digits)


def mobiles(country: np.ndarray, index: np.ndarray) -> Numbers:
    """Mobile number `index` of each row's country."""
    plans = [(plan.mobile, plan.mobile_length) for plan in PHONE_PLANS]
    return Numbers(country, _digits(plans, country, index), np.ones(len(country), dtype=bool))


def landlines(country: np.ndarray, index: np.ndarray) -> Numbers:
    """Landline number `index` of each row's country."""
    plans = [(plan.landline, plan.landline_length) for plan in PHONE_PLANS]
    return Numbers(country, _digits(plans, country, index), np.zeros(len(country), dtype=bool))


def either(where: np.ndarray, yes: Numbers, no: Numbers) -> Numbers:
    """`yes` where `where` is true, else `no`."""
    return Numbers(
        np.where(where, yes.country, no.country),
        np.where(where[:, None], yes.digits, no.digits),
        np.where(where, yes.is_mobile, no.is_mobile),
    )


def _digits(
    plans: Sequence[tuple[tuple[str, ...], int]], country: np.ndarray, index: np.ndarray
) -> np.ndarray:
    out = np.full((len(country), _WIDTH), ord("0"), dtype=np.uint8)
    for number, (prefixes, length) in enumerate(plans):
        rows = np.flatnonzero(country == number)
        head = len(prefixes[0])
        tail_capacity = 10 ** (length - head)
        slot = (index[rows] * _STRIDE + 97) % (len(prefixes) * tail_capacity)
        table = np.frombuffer("".join(prefixes).encode(), dtype=np.uint8).reshape(-1, head)
        out[rows, :head] = table[slot // tail_capacity]
        out[rows, head:length] = text.digits(slot % tail_capacity, length - head)
    return out
