"""What people do in the web shop and in the app: visits on devices, and the calls of each visit.

A device has an anonymous id (cookies get cleared, apps get installed again); some household
computers have several users. With an account, a person first browses anonymously, one day logs in
on the device, and is mostly logged in from then on. Guests leave an email at checkout or for the
newsletter. A phone that was offline delivers days later.

Here: who, when, where and what kind of call. Not here: how a call is written (segment.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from cdp_assets.sample.company import Company, lateness, row_ids, second_of_day
from cdp_assets.sample.dice import Dice
from cdp_assets.sample.people import NEVER
from cdp_assets.sample.vocabulary import CITIES

_WEEK = (1.05, 1.00, 1.00, 1.00, 1.02, 0.95, 1.10)
_DAY_MS = 86_400_000
_CITY_OFFSET = np.array([city.utc_offset for city in CITIES])
_CALLS_PER_VISIT = 4.73
_MOST_CALLS = 31
_RETRIES = 0.012
_FROM_START, _ANONYMOUS = -1, 1_000
_HOUSEHOLD_COMPUTER = 1 << 44


class Call(IntEnum):
    """Kinds of calls. Those up to CHECKOUT need nothing but a product and a country."""

    HOME = 0
    CATEGORY = 1
    PRODUCT = 2
    VIEWED = 3
    SEARCHED = 4
    ADDED = 5
    CHECKOUT = 6
    ORDER = 7
    LOGIN = 8
    GUEST = 9
    ALIAS = 10
    GROUP = 11


# HOME to SEARCHED.
_BROWSING = (0.16, 0.20, 0.24, 0.30, 0.10)


@dataclass(frozen=True)
class Channel:
    """One of the two places to visit.

    Attributes:
        source: `web` or `mobile`.
        share: of all events.
        cookie_days: how long an anonymous id lives on a device of the forgetful kind.
        forgetful: share of such devices.
    """

    source: str
    share: float
    cookie_days: int
    forgetful: float


WEB = Channel("web", share=0.382, cookie_days=40, forgetful=0.12)
MOBILE = Channel("mobile", share=0.20, cookie_days=60, forgetful=0.05)


@dataclass(frozen=True)
class Calls:
    """Calls in order of arrival: columns per call; times in ms since 1970-01-01.

    Attributes:
        ids: unique within the channel.
        who: person index.
        device, cookie: numbers of the device and of the anonymous id on it.
        day: of the call, counted from the first landing day.
        code: kind, see `Call`.
        is_known: the call carries the user id.
        at_ms, sent_ms, received_ms: when it happened, left the client, reached the collector.
    """

    ids: np.ndarray
    who: np.ndarray
    device: np.ndarray
    cookie: np.ndarray
    day: np.ndarray
    code: np.ndarray
    is_known: np.ndarray
    at_ms: np.ndarray
    sent_ms: np.ndarray
    received_ms: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: np.ndarray | slice) -> Calls:
        return Calls(*(column[rows] for column in vars(self).values()))


@dataclass(frozen=True)
class _Visits:
    """Visits of one landing day: columns per visit.

    Attributes:
        ids: unique within the channel.
        who: person index.
        late: days between the visit and its landing.
        day: of the visit.
        device, cookie: as in `Calls`.
        length: calls.
        login: position of the call that logs in; -1 if logged in before,
            past the end if not at all.
    """

    ids: np.ndarray
    who: np.ndarray
    late: np.ndarray
    day: np.ndarray
    device: np.ndarray
    cookie: np.ndarray
    length: np.ndarray
    login: np.ndarray


def calls_on(company: Company, channel: Channel, day: int) -> Calls:
    """The calls that land on a day."""
    dice = company.dice(channel.source)
    visits = _visits(company, channel, day)
    visit = np.repeat(np.arange(len(visits.ids)), visits.length)
    position = np.arange(len(visit)) - (np.cumsum(visits.length) - visits.length)[visit]
    ids = visits.ids[visit] * (_MOST_CALLS + 1) + position
    offset = _CITY_OFFSET[company.people.city(visits.who, visits.day)]
    start_ms = (company.epoch_day(0) + visits.day) * _DAY_MS + dice.below("ms", visits.ids, 1000)
    start_ms += second_of_day(dice, visits.ids, offset) * 1000
    at_ms = start_ms[visit] + position * 38_000 + dice.below("pause", ids, 30_000)
    sent_ms = at_ms + 40 + dice.below("send", ids, 1_500) + visits.late[visit] * _DAY_MS
    received_ms = sent_ms + 25 + dice.below("receive", ids, 300)
    code = _codes(company, channel, visits, visit, position, ids)
    calls = Calls(
        ids=ids,
        who=visits.who[visit],
        device=visits.device[visit],
        cookie=visits.cookie[visit],
        day=visits.day[visit],
        code=code,
        is_known=(position >= visits.login[visit]) & (code != Call.GUEST),
        at_ms=at_ms,
        sent_ms=sent_ms,
        received_ms=received_ms,
    )
    # Records of a stream's shards mix: order of arrival is not quite order of receipt.
    return calls[np.argsort(received_ms + dice.below("shard", ids, 45_000), kind="stable")]


def delivered_again(company: Company, channel: Channel, calls: Calls) -> Calls:
    """The calls that come twice: two of three as they were, the others sent anew hours later."""
    dice = company.dice(channel.source)
    again = calls[np.flatnonzero(dice.chance("retried", calls.ids, _RETRIES))]
    wait = np.where(dice.chance("sent again", again.ids, 0.33), 2 * 3_600_000, 0)
    return replace(again, sent_ms=again.sent_ms + wait, received_ms=again.received_ms + wait)


def consents(dice: Dice, calls: Calls, days: int) -> np.ndarray:
    """2 * analytics + advertising as allowed by each caller; one in twelve withdraws both.

    Args:
        dice: of the people: the answer is the same in both channels.
        calls: the calls.
        days: landing days, in which people change their mind.
    """
    who = calls.who
    withdrew = dice.chance("changes consent", who, 0.08) & (
        dice.below("consent day", who, max(1, days)) <= calls.day
    )
    analytics = dice.chance("analytics", who, 0.80)
    advertising = dice.chance("advertising", who, 0.55) & analytics
    return np.where(withdrew, 0, 2 * analytics + advertising)


def _visits(company: Company, channel: Channel, day: int) -> _Visits:
    dice = company.dice(channel.source)
    crowd = company.surfers if channel is WEB else company.app_users
    total = company.size.events * channel.share / (1 + _RETRIES)
    ids = row_ids(day, max(1, round(company.volume(total, day, _WEEK) / _CALLS_PER_VISIT)))
    who = crowd.draw(dice.uniform("visitor", ids))
    late = lateness(dice, ids)
    device = _web_devices(company, ids, who) if channel is WEB else _phones(company, ids, who)
    drawn = (-np.log1p(-dice.uniform("length", ids)) * 4.2).astype(np.int64)
    length = np.minimum(1 + drawn, _MOST_CALLS)
    return _Visits(
        ids=ids,
        who=who,
        late=late,
        day=day - late,
        device=device,
        cookie=_cookies(dice, channel, device, day - late),
        length=length,
        login=_login_positions(company, dice, ids, who, device, day - late, length),
    )


def _web_devices(company: Company, visits: np.ndarray, who: np.ndarray) -> np.ndarray:
    """One to three browsers of one's own, or the household's computer."""
    people, dice = company.people, company.dice("web")
    owned = 1 + people.dice.pick("browsers", who, (0.66, 0.26, 0.08))
    slot = dice.pick("browser", visits, (0.74, 0.18, 0.08)) % owned
    home = people.household[who]
    shares = people.dice.chance("shared computer", home, 0.05) & (slot == 0)
    return np.where(shares, _HOUSEHOLD_COMPUTER + home, who * 4 + slot)


def _phones(company: Company, visits: np.ndarray, who: np.ndarray) -> np.ndarray:
    has_two = company.people.dice.chance("two phones", who, 0.12)
    return who * 4 + (has_two & company.dice("mobile").chance("other phone", visits, 0.4))


def _cookies(dice: Dice, channel: Channel, device: np.ndarray, day: np.ndarray) -> np.ndarray:
    is_forgetful = dice.chance("forgetful", device, channel.forgetful)
    life = np.where(is_forgetful, channel.cookie_days, 4_000)
    age = day + 4_000 + dice.below("cookie age", device, life)
    return device * 256 + age // life % 256


def _login_positions(
    company: Company,
    dice: Dice,
    visits: np.ndarray,
    who: np.ndarray,
    device: np.ndarray,
    day: np.ndarray,
    length: np.ndarray,
) -> np.ndarray:
    """From which call of a visit on the user id is there."""
    per_login = device * 8 + who % 8
    when = dice.pick("first login", per_login, (0.74, 0.24, 0.02))
    during = dice.below("login day", per_login, company.size.days // 2)
    first_login = np.select([when == 0, when == 1], [np.full(len(who), -999), during], NEVER)
    first_login = np.where(company.people.has_login[who], first_login, NEVER)
    logs_in_at = np.minimum(1 + dice.below("login at", visits, 3), length - 1)
    # Most visits of known users begin with an identify call, as the libraries advise.
    state = dice.pick("state", visits, (0.05, 0.92, 0.03))
    later = np.select([state == 0, state == 1], [np.full(len(who), _FROM_START), logs_in_at],
                      _ANONYMOUS)  # fmt: skip
    return np.select([day < first_login, day == first_login], [_ANONYMOUS, logs_in_at], later)


def _codes(
    company: Company,
    channel: Channel,
    visits: _Visits,
    visit: np.ndarray,
    position: np.ndarray,
    ids: np.ndarray,
) -> np.ndarray:
    """What kind of call each is.

    Args:
        company: the company.
        channel: where.
        visits: the visits.
        visit: (n,) visit of each call.
        position: (n,) place of each call in its visit.
        ids: (n,) call ids.
    """
    dice = company.dice(channel.source)
    code = dice.pick("code", ids, _BROWSING)
    code[position == 0] = Call.HOME
    from_end = visits.length[visit] - 1 - position
    has_order = (visits.length >= 4) & dice.chance("orders", visits.ids, 0.14)
    for steps, step in ((2, Call.ADDED), (1, Call.CHECKOUT), (0, Call.ORDER)):
        code[has_order[visit] & (from_end == steps)] = step
    leaves_email = dice.chance(
        "leaves email", visits.ids, np.where(company.people.has_login[visits.who], 0.06, 0.42)
    )
    is_guest = (visits.login == _ANONYMOUS) & ~has_order & leaves_email
    code[is_guest[visit] & (from_end == 0)] = Call.GUEST
    is_free = (position == visits.login[visit] + 1) & (code <= Call.SEARCHED)
    is_business = dice.chance("business", visits.who, 0.01)
    opens_account = dice.chance("new account", visits.ids, 0.08)
    code[is_free & is_business[visit]] = Call.GROUP
    code[is_free & opens_account[visit]] = Call.ALIAS
    code[position == visits.login[visit]] = Call.LOGIN
    return code
