"""The people of the sample company: households, names, contact points and what changes in a life.

People live in households of one to five (couples, parents with grown children). A household shares
its address and landline, mostly its surname, at times an email address, a mobile or a computer.
A son may carry his father's name; twins share a birthday. People move, marry, change provider.
Days count from the first landing day (0); negative days lie before the company's exports begin.

Here: what is true of a person. Not here: what gets written down (writing.py), or where.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from cdp_assets.sample import phones, text
from cdp_assets.sample.dice import Dice
from cdp_assets.sample.vocabulary import (
    CITIES,
    COUNTRIES,
    COUNTRY_WEIGHTS,
    EMAIL_DOMAIN_WEIGHTS,
    EMAIL_DOMAINS,
    FIRST_NAME_RANGES,
    FIRST_NAMES,
    NICKNAMES,
    POOL_WEIGHTS,
    POOLS,
    SURNAME_RANGES,
    SURNAMES,
    fold,
    zipf,
)

NEVER = 1_000_000
_TODAY = 20_695  # 2026-08-30; ages are counted from here
_YEAR = 365.25
_GMAIL, _GOOGLEMAIL = 0, 1  # places in EMAIL_DOMAINS
_ID_STRIDE = 48_271_003
_ID_SPAN = 90_000_000


@dataclass(frozen=True)
class People:
    """Columns over person index 0..n-1; `*_day` is NEVER where it does not happen.

    `email` is the address in use from `email_changed_day` on (always, if it never changed);
    `email_old` the one before, or a second one. `last_old` holds until `married_day`, then `last`.
    """

    dice: Dice
    household: np.ndarray
    head: np.ndarray
    role: np.ndarray
    country: np.ndarray
    is_female: np.ndarray
    first: np.ndarray
    last: np.ndarray
    last_old: np.ndarray
    married_day: np.ndarray
    is_hyphenated: np.ndarray
    birth_day: np.ndarray
    moved_day: np.ndarray
    email: pa.Array
    email_old: pa.Array
    email_changed_day: np.ndarray
    mobile_changed_day: np.ndarray
    opt_out_day: np.ndarray
    activity: np.ndarray

    def __len__(self) -> int:
        return len(self.household)

    @cached_property
    def _index(self) -> np.ndarray:
        return np.arange(len(self))

    @cached_property
    def has_loyalty(self) -> np.ndarray:
        """Members of the loyalty programme: the active ones more often."""
        return self.dice.chance("loyalty", self._index, np.where(self.activity > 2, 0.76, 0.50))

    @cached_property
    def has_login(self) -> np.ndarray:
        """People with an account in the web shop or the app."""
        return self.dice.chance("login", self._index, np.where(self.activity > 2, 0.80, 0.55))

    @cached_property
    def in_crm(self) -> np.ndarray:
        """People who have a CRM contact: nearly all members, most account holders."""
        share = np.select([self.has_loyalty, self.has_login], [0.97, 0.85], 0.5)
        return self.dice.chance("crm", self._index, share)

    def ids(self) -> text.Strings:
        """The person ids of the truth."""
        return text.join("person-", text.numbers(self._index, 8))

    def email_at(self, who: np.ndarray, day: np.ndarray | int) -> text.Strings:
        """The address each person uses on a day."""
        is_new = (self.email_changed_day[who] == NEVER) | (self.email_changed_day[who] <= day)
        return text.either(is_new, text.take(self.email, who), text.take(self.email_old, who))

    def mobile_at(self, who: np.ndarray, day: np.ndarray | int) -> phones.Numbers:
        """The mobile each person uses on a day; one in fifty uses the head of household's."""
        shares = (self.role[who] > 0) & self.dice.chance("shared mobile", who, 0.02)
        owner = np.where(shares, self.head[who], who)
        is_old = self.mobile_changed_day[owner] > day
        has_changed = self.mobile_changed_day[owner] != NEVER
        return phones.mobiles(self.country[owner], owner * 2 + (is_old & has_changed))

    def landline(self, who: np.ndarray) -> phones.Numbers:
        """The household's landline, or for a few the switchboard of the firm they work for."""
        firms = len(self) // 8_000 + 2
        is_office = self.dice.chance("office phone", who, 0.008)
        desk = self.dice.below("office", who, firms)
        country = np.where(is_office, desk % len(COUNTRIES), self.country[who])
        return phones.landlines(country, np.where(is_office, desk, self.household[who] + firms))

    def has_landline(self, who: np.ndarray) -> np.ndarray:
        """Whether there is a landline to give."""
        return self.dice.chance("has landline", self.household[who], 0.45)

    def loyalty_id(self, who: np.ndarray) -> text.Strings:
        """Eight digits. Loyalty ids and user ids come from one range: equal text, other person."""
        return text.numbers(10_000_000 + (who * _ID_STRIDE + 11) % _ID_SPAN, 8)

    @cached_property
    def user_ids(self) -> text.Strings:
        """Everybody's user id, with or without an account: eight digits, see `loyalty_id`."""
        return text.numbers(10_000_000 + (self._index * _ID_STRIDE + 8_887_766) % _ID_SPAN, 8)

    def card_token(self, who: np.ndarray, is_second: np.ndarray) -> text.Strings:
        """The till's token of a payment card; few partners pay with the other's card."""
        borrows = (self.role[who] == 1) & self.dice.chance("shared card", who, 0.02)
        owner = np.where(borrows, self.head[who], who)
        return text.join(
            "tok_", text.fixed(text.hexadecimal(self.dice.bits("card", owner * 2 + is_second)))
        )

    def city(self, who: np.ndarray, day: np.ndarray | int) -> np.ndarray:
        """Index into CITIES of the home on a day; one move in three is to another town."""
        home = self.household[who]
        has_left_town = (self.moved_day[who] <= day) & self.dice.chance("left town", home, 0.33)
        drawn = np.where(
            has_left_town,
            self.dice.uniform("new city", home),
            self.dice.uniform("city", home),
        )
        return city_of(self.country[who], drawn)


def make_people(count: int, days: int, seed: int) -> People:
    """Make `count` people. More people leave the first ones as they were.

    Args:
        count: people wanted.
        days: landing days, in which some of the changes fall.
        seed: of the company.
    """
    dice = Dice(seed, "people")
    sizes = 1 + dice.pick("size", np.arange(count), (0.36, 0.34, 0.15, 0.11, 0.04))
    household = np.repeat(np.arange(count), sizes)[:count]
    person = np.arange(count)
    head = (np.cumsum(sizes) - sizes)[household]
    role = person - head
    is_female = _sexes(dice, person, head, role)
    pool, country = _origins(dice, household)
    birth_day = _birthdays(dice, household, role, sizes[household])
    first = _first_names(dice, person, head, role, pool, is_female)
    last_old, last = _surnames(dice, household, head, role, pool)
    married = dice.chance("married", person, np.where(is_female & (role <= 1), 0.06, 0.008))
    email, email_old = _emails(dice, first, last_old, birth_day, country, head, role)
    return People(
        dice=dice,
        household=household,
        head=head,
        role=role,
        country=country,
        is_female=is_female,
        first=first,
        last=last,
        last_old=np.where(married, last_old, last),
        married_day=_change_day(dice, "marriage", person, married, days),
        is_hyphenated=dice.chance("hyphen", person, 0.2) & married,
        birth_day=birth_day,
        moved_day=_change_day(dice, "move", household, dice.chance("moves", household, 0.12), days),
        email=email,
        email_old=email_old,
        email_changed_day=_change_day(
            dice, "new email", person, dice.chance("changes email", person, 0.10), days
        ),
        mobile_changed_day=_change_day(
            dice, "new mobile", person, dice.chance("changes mobile", person, 0.06), days
        ),
        opt_out_day=_change_day(
            dice, "opt out", person, dice.chance("opts out", person, 0.10), days
        ),
        # Pareto: a fifth of the people make most of the purchases.
        activity=np.minimum((1.0 - dice.uniform("activity", person)) ** (-1 / 1.3), 60.0),
    )


def city_of(country: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """A city of each country; `drawn` in [0, 1) chooses, the first cities more often."""
    out = np.zeros(len(country), dtype=np.int64)
    for number in range(len(COUNTRIES)):
        cities = [i for i, city in enumerate(CITIES) if city.country == number]
        rows = country == number
        out[rows] = cities[0] + np.searchsorted(zipf(len(cities)), drawn[rows])
    return out


def _change_day(
    dice: Dice, what: str, ids: np.ndarray, happens: np.ndarray, days: int
) -> np.ndarray:
    in_window = dice.chance(f"{what} now", ids, 0.35)
    before = -1 - dice.below(f"{what} before", ids, 700)
    during = 1 + dice.below(f"{what} during", ids, max(1, days - 2))
    return np.where(happens, np.where(in_window, during, before), NEVER)


def _sexes(dice: Dice, person: np.ndarray, head: np.ndarray, role: np.ndarray) -> np.ndarray:
    drawn = dice.chance("sex", person, 0.5)
    is_usual_couple = (role == 1) & dice.chance("usual couple", person, 0.94)
    return np.where(is_usual_couple, ~drawn[head], drawn)


def _origins(dice: Dice, household: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    country = dice.pick("country", household, COUNTRY_WEIGHTS)
    pool = np.zeros(len(household), dtype=np.int64)
    for number, weights in enumerate(POOL_WEIGHTS):
        rows = country == number
        pool[rows] = dice.pick("pool", household[rows], weights)
    return pool, country


def _birthdays(dice: Dice, household: np.ndarray, role: np.ndarray, size: np.ndarray) -> np.ndarray:
    person = np.arange(len(household))
    is_parent = size > 2
    head_age = np.where(
        is_parent,
        46 + 16 * dice.uniform("parent age", household),
        22 + 58 * dice.uniform("age", household),
    )
    partner_age = np.maximum(18.0, head_age + 12 * dice.uniform("age gap", person) - 6)
    is_twin = dice.chance("twins", household, 0.10)
    child = np.where(is_twin, household * 8, household * 8 + role)
    child_age = 16 + 12 * dice.uniform("child age", child)
    age = np.select([role == 0, role == 1], [head_age, partner_age], child_age)
    return (_TODAY - age * _YEAR).astype(np.int64)


def _draw_first_names(
    dice: Dice, what: str, person: np.ndarray, pool: np.ndarray, is_female: np.ndarray
) -> np.ndarray:
    drawn = dice.uniform(what, person)
    out = np.zeros(len(person), dtype=np.int64)
    for number, name in enumerate(POOLS):
        for sex, is_sex in (("F", is_female), ("M", ~is_female)):
            names = FIRST_NAME_RANGES[name, sex]
            rows = (pool == number) & is_sex
            out[rows] = names[0] + np.searchsorted(zipf(len(names)), drawn[rows])
    return out


def _first_names(
    dice: Dice,
    person: np.ndarray,
    head: np.ndarray,
    role: np.ndarray,
    pool: np.ndarray,
    is_female: np.ndarray,
) -> np.ndarray:
    first = _draw_first_names(dice, "first", person, pool, is_female)
    # Two members of a household do not share a first name, but for a son named after his father.
    for attempt in ("first again", "first once more"):
        _, kept = np.unique(head * len(FIRST_NAMES) + first, return_index=True)
        again = np.ones(len(person), dtype=bool)
        again[kept] = False
        first[again] = _draw_first_names(
            dice, attempt, person[again], pool[again], is_female[again]
        )
    is_junior = (role == 2) & ~is_female & ~is_female[head] & dice.chance("junior", person, 0.12)
    return np.where(is_junior, first[head], first)


def _surnames(
    dice: Dice, household: np.ndarray, head: np.ndarray, role: np.ndarray, pool: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Surnames before and after a marriage (used only where there is one)."""
    person = np.arange(len(head))
    own = np.zeros(len(person), dtype=np.int64)
    new = np.zeros(len(person), dtype=np.int64)
    for number, name in enumerate(POOLS):
        names = SURNAME_RANGES[name]
        edges = zipf(len(names))
        rows = np.flatnonzero(pool == number)
        own[rows] = names[0] + np.searchsorted(edges, dice.uniform("last", person[rows]))
        new[rows] = names[0] + np.searchsorted(edges, dice.uniform("new last", person[rows]))
    # Names that software takes for missing values are rare, and in every company.
    for place, name in ((11, "Null"), (23, "NA")):
        own[household % 307 == place] = SURNAMES.index(name)
    keeps_own = (role == 1) & dice.chance("keeps name", person, 0.22)
    family = np.where((role == 0) | keeps_own, own, own[head])
    return own, np.where(
        role == 0, np.where(dice.chance("married", person, 0.06), new, own), family
    )


def _emails(
    dice: Dice,
    first: np.ndarray,
    last: np.ndarray,
    birth_day: np.ndarray,
    country: np.ndarray,
    head: np.ndarray,
    role: np.ndarray,
) -> tuple[pa.Array, pa.Array]:
    person = np.arange(len(first))
    domains = text.strings([domain for domain, _ in EMAIL_DOMAINS])
    locals_and_domains = []
    for what in ("email", "old email"):
        local = _local_parts(dice, what, first, last, birth_day)
        domain = dice.pick(f"{what} domain", person, EMAIL_DOMAIN_WEIGHTS)
        locals_and_domains.append((local, domain))
    local = pa.concat_arrays([local for local, _ in locals_and_domains])
    domain = np.concatenate([domain for _, domain in locals_and_domains])
    local = _made_unique(local, domain)
    emails = text.join(local, "@", text.take(domains, domain))
    current, old = emails[: len(person)], emails[len(person) :]
    # Some couples use one address.
    shares = (role == 1) & dice.chance("shared email", head, 0.035)
    return text.either(shares, current.take(pa.array(head)), current), old


def _local_parts(
    dice: Dice, what: str, first: np.ndarray, last: np.ndarray, birth_day: np.ndarray
) -> text.Strings:
    person = np.arange(len(first))
    names = text.strings([fold(name) for name in FIRST_NAMES])
    nicks = text.strings([fold(nicks[0]) for nicks in NICKNAMES])
    lasts = text.strings([fold(name) for name in SURNAMES])
    given, nick, family = text.take(names, first), text.take(nicks, first), text.take(lasts, last)
    initial = text.kernels.utf8_slice_codeunits(given, 0, 1)
    year = text.numbers((1970 + birth_day / _YEAR).astype(np.int64) % 100, 2)
    lucky = text.numbers(dice.below(f"{what} digits", person, 1000), 3)
    style = dice.pick(f"{what} style", person, (0.30, 0.14, 0.16, 0.12, 0.10, 0.10, 0.08))
    return text.choose(
        style,
        text.join(given, ".", family),
        text.join(initial, family),
        text.join(given, family, year),
        text.join(given, "_", family),
        text.join(nick, lucky),
        text.join(family, ".", given),
        text.join(nick, ".", family, year),
    )


def _made_unique(local: pa.Array, domain: np.ndarray) -> text.Strings:
    """Give the second and later owners of an address a number, as providers do."""
    index = np.arange(len(local))
    # At Gmail dots do not count, and googlemail.com is gmail.com.
    provider = np.where(domain == _GOOGLEMAIL, _GMAIL, domain)
    for _ in range(3):
        key = text.kernels.dictionary_encode(text.kernels.replace_substring(local, ".", "")).indices
        _, kept = np.unique(
            key.to_numpy().astype(np.int64) * len(EMAIL_DOMAINS) + provider, return_index=True
        )
        is_taken = np.ones(len(local), dtype=bool)
        is_taken[kept] = False
        if not is_taken.any():
            break
        local = text.either(is_taken, text.join(local, text.whole(index)), local)
    return local
