"""Fernhill, the sample company: a home and garden retailer with shops, a web shop and an app.

It sells in six countries. Shoppers are known by what they leave: a loyalty card, an email for the
receipt, a phone, a payment card, an account. `Company` bundles what every channel module needs.

Here: the company's calendar, its customers as a lottery weighted by activity, and daily volumes.
Not here: a channel's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cdp_assets.sample.dice import Dice
from cdp_assets.sample.people import People, make_people
from cdp_assets.sample.size import SampleSize

_NEWCOMER_DAYS = 50
_MONDAY = 4  # 1970-01-05 was a Monday
# Days late, and how often: apps lose signal, tills lose their line, a stream is replayed.
_LATENESS_DAYS = np.array([0, 1, 2, 3, 5, 8, 13, 21, 30])
_LATENESS_WEIGHTS = (0.955, 0.022, 0.008, 0.005, 0.004, 0.002, 0.002, 0.001, 0.001)
# Share of a day's visits in each hour of the shopper's own clock.
_HOURS = np.cumsum(
    np.array(
        [2, 1, 1, 1, 1, 2, 5, 9, 11, 12, 13, 14, 15, 14, 13, 13, 14, 16, 18, 20, 21, 18, 12, 6]
    )
)


@dataclass(frozen=True)
class Crowd:
    """People to draw from, the active ones more often."""

    members: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, people: People, members: np.ndarray, power: float = 1.0) -> Crowd:
        """`members` weighted by activity to the `power`."""
        return cls(members, np.cumsum(people.activity[members] ** power))

    def draw(self, uniform: np.ndarray) -> np.ndarray:
        """Person indices for draws in [0, 1)."""
        at = np.searchsorted(self.edges, uniform * self.edges[-1], side="right")
        return self.members[np.minimum(at, len(self.members) - 1)]


@dataclass(frozen=True)
class Company:
    """The company of one seed and size, and which of its customers are active.

    Attributes:
        size, seed: what was asked for.
        people: everybody, including the newcomers that only an increment brings.
        active: person indices that shop; all customers, or an increment's share of them.
    """

    size: SampleSize
    seed: int
    people: People
    active: np.ndarray

    @classmethod
    def found(cls, size: SampleSize, seed: int) -> Company:
        """The company with all of its customers, and newcomers waiting for increments."""
        newcomers = _newcomers_a_day(size) * _NEWCOMER_DAYS
        people = make_people(size.people + newcomers, size.days, seed)
        return cls(size, seed, people, np.arange(size.people))

    def on_increment(self, day: int, share: float) -> Company:
        """The same company where only `share` of the customers and a day's newcomers are active.

        Raises:
            ValueError: `day` is not one of the fifty days after the window.
        """
        if not 0 <= day - self.size.days < _NEWCOMER_DAYS:
            last = self.size.days + _NEWCOMER_DAYS - 1
            raise ValueError(
                f"Day {day} is not an increment: those are {self.size.days} to {last}."
            )
        everyone = np.arange(self.size.people)
        seen = everyone[self.dice("increment").chance(f"seen on {day}", everyone, share)]
        newcomers = np.flatnonzero(self.joined_day(np.arange(len(self.people))) == day)
        return replace(self, active=np.concatenate([seen, newcomers]))

    def joined_day(self, who: np.ndarray) -> np.ndarray:
        """The increment that brings a newcomer; before the end of the window for all others."""
        return self.size.days + (who - self.size.people) // _newcomers_a_day(self.size)

    def dice(self, name: str) -> Dice:
        """The dice of one part of the company."""
        return Dice(self.seed, name)

    def epoch_day(self, day: int) -> int:
        """Landing day 0, 1, ... as days since 1970-01-01."""
        return self.size.first_epoch_day + day

    @cached_property
    def shoppers(self) -> Crowd:
        """Everybody who is active."""
        return Crowd.of(self.people, self.active)

    @cached_property
    def surfers(self) -> Crowd:
        """Active people who use the web shop: most account holders, some others."""
        return Crowd.of(self.people, self._some("web", self.people.has_login, 0.80, 0.07))

    @cached_property
    def callers(self) -> Crowd:
        """Active people who call: hardly related to what they spend, mostly known to the CRM."""
        return Crowd.of(self.people, self._some("phone", self.people.in_crm, 0.90, 0.25), power=0.3)

    @cached_property
    def app_users(self) -> Crowd:
        """Active people who use the app: account holders, few others."""
        return Crowd.of(self.people, self._some("app", self.people.has_login, 0.45, 0.015))

    def _some(self, what: str, is_likely: np.ndarray, share: float, otherwise: float) -> np.ndarray:
        odds = np.where(is_likely[self.active], share, otherwise)
        chosen = self.dice("channels").chance(what, self.active, odds)
        return self.active[chosen] if chosen.any() else self.active

    def volume(self, total: float, day: int, weekday_weights: Sequence[float]) -> int:
        """A day's part of `total` rows, in the weekly rhythm Monday..Sunday.

        The few people of an increment do on one day what they did in the whole window: an increment
        of one percent of the customers is one percent of the events.
        """
        if day >= self.size.days:
            return max(1, round(total * len(self.active) / self.size.people))
        weights = np.asarray(weekday_weights, dtype=np.float64)
        window = weights[(self.epoch_day(0) + np.arange(self.size.days) - _MONDAY) % 7]
        weight = weights[(self.epoch_day(day) - _MONDAY) % 7]
        return max(1, round(total * weight / window.sum()))


def _newcomers_a_day(size: SampleSize) -> int:
    return max(1, size.people // 5_000)


def row_ids(day: int, count: int) -> np.ndarray:
    """Ids of a channel's rows on a landing day, never used on another day."""
    return (day << 32) + np.arange(count, dtype=np.int64)


def lateness(dice: Dice, ids: np.ndarray) -> np.ndarray:
    """Days between an event and its landing day, 0 to 30, mostly 0."""
    return _LATENESS_DAYS[dice.pick("late", ids, _LATENESS_WEIGHTS)]


def second_of_day(dice: Dice, ids: np.ndarray, utc_offset: np.ndarray) -> np.ndarray:
    """UTC second of the day, busy when it is evening where the shopper is.

    Args:
        dice: of the channel.
        ids: row ids.
        utc_offset: minutes, per row.
    """
    drawn = dice.uniform("hour", ids) * _HOURS[-1]
    hour = np.searchsorted(_HOURS, drawn, side="right")
    local = hour * 3600 + dice.below("second", ids, 3600)
    return (local - utc_offset * 60) % 86_400
