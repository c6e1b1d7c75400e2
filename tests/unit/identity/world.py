"""A tiny platform in memory: records, links and decisions in, customers out.

Runs the real resolution and the real rules for ids, events and redirects over plain values, so a
scenario reads as a story. Tables and SQL are tested in tests/dbt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from cdp_assets.identity.resolve import Resolution, resolve_scope
from cdp_assets.identity.scope import Scope
from cdp_assets.identity.stable_ids import Change, close_redirects, customer_id, homes_of

__all__ = ["Link", "Record", "World", "customer_id"]


@dataclass(frozen=True)
class Record:
    """What a record states about its person; `seen` is event time, in microseconds."""

    seen: int
    name: str | None = None
    birth_date: str | None = None
    user_id: str | None = None
    is_device: bool = False


@dataclass(frozen=True)
class Link:
    left: str
    right: str
    tier: int = 2
    score: float = 0.9
    seen: int = 0
    rule: str = "same_email"


@dataclass
class World:
    """Everything that was observed so far, and the customers that came of it.

    Attributes:
        scores: bits by pair, written as `AB`; what is over zero is stored, the rest scored when
            it is wanted.
        vetoes: the pairs that are vetoed.
        redirects: old id to the id that lives now.
        events: of all runs, oldest first.
    """

    records: dict[str, Record] = field(default_factory=dict)
    links: set[Link] = field(default_factory=set)
    must_link: set[tuple[str, str]] = field(default_factory=set)
    cannot_link: set[tuple[str, str]] = field(default_factory=set)
    scores: dict[str, float] = field(default_factory=dict)
    vetoes: set[str] = field(default_factory=set)
    customers: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    events: list[Change] = field(default_factory=list)
    soft_cap: int = 50
    hard_cap: int = 200

    def observe(self, *names: str, links: Iterable[str] = (), **facts: object) -> World:
        """Add records, the first the oldest, and links written as `A-B`; then run.

        A record that is there already keeps what it has.
        """
        for name in names:
            self.records.setdefault(name, replace(Record(seen=len(self.records)), **facts))
        for link in links:
            left, right = link.split("-")
            self.links.add(Link(left, right))
        return self.run()

    def merge(self, left: str, right: str) -> World:
        """A person decides that two records are one customer."""
        self.cannot_link.discard(_pair(left, right))
        self.must_link.add(_pair(left, right))
        return self.run()

    def unmerge(self, left: str, right: str) -> World:
        """A person decides that two records are not one customer."""
        self.must_link.discard(_pair(left, right))
        self.cannot_link.add(_pair(left, right))
        return self.run()

    def delete(self, name: str) -> World:
        """A record leaves the data, with its links."""
        del self.records[name]
        self.links = {link for link in self.links if name not in (link.left, link.right)}
        return self.run()

    def run(self) -> World:
        """Resolve everything and apply it."""
        resolution = self.resolve()
        found = [
            Change(row["event"], row["customer_id"], row["other_customer_id"])
            for row in resolution.changes.to_pylist()
        ]
        rows = resolution.assignments.to_pylist()
        self.customers = {
            row["record_id"]: row["customer_id"] for row in rows if row["customer_id"]
        }
        living = set(self.customers.values())
        ended = {
            *self.redirects,
            *(one.other_customer_id for one in found if one.other_customer_id),
        }
        homes = homes_of(self.customers.items(), ended | self.retired)
        self.redirects = close_redirects(self.redirects, found, living, homes)
        self.events.extend(found)
        return self

    @property
    def retired(self) -> set[str]:
        return {event.customer_id for event in self.events if event.event == "retire"}

    def rebuilt(self) -> World:
        """The same world, resolved as if nothing had ever been resolved before."""
        return replace(self, customers={}, redirects={}, events=[]).run()

    def reasons(self) -> list[str]:
        """Why links are refused, sorted."""
        return sorted(self.resolve().refused["reason"].to_pylist())

    def resolve(self) -> Resolution:
        """What a run would bring."""
        numbers = {name: number for number, name in enumerate(self.records)}
        gone = [name for name in self.customers if name not in self.records]
        decisions = [Link(*pair, tier=0, rule="decision") for pair in sorted(self.must_link)]
        links = [
            link
            for link in [*self.links, *decisions]
            if link.left in numbers and link.right in numbers
        ]
        apart = [pair for pair in sorted(self.cannot_link) if set(pair) <= set(numbers)]
        logins = {name: one.user_id for name, one in self.records.items() if one.user_id}
        known = [pair for pair in self.scores if set(pair) <= set(numbers)]
        by_numbers = {frozenset((numbers[pair[0]], numbers[pair[1]])): pair for pair in known}

        def stored(pair: str) -> bool:
            return self.scores[pair] > 0

        def score(left: np.ndarray, right: np.ndarray) -> pa.Table:
            wanted = zip(left.tolist(), right.tolist(), strict=True)
            return self._scores(
                {
                    ends: by_numbers[frozenset(ends)]
                    for ends in wanted
                    if frozenset(ends) in by_numbers
                }
            )

        scope = Scope(
            is_rebuild=True,
            records=pa.table(
                {
                    "number": pa.array(numbers.values(), pa.int64()),
                    "record_id": pa.array(numbers, pa.string()),
                    "is_device": [one.is_device for one in self.records.values()],
                    "first_seen": pa.array(
                        [one.seen for one in self.records.values()], pa.timestamp("us")
                    ),
                    "name": pa.array([one.name for one in self.records.values()], pa.string()),
                    "birth_date": pa.array(
                        [one.birth_date for one in self.records.values()], pa.string()
                    ),
                    "has_score": [name in set("".join(self.scores)) for name in numbers],
                    "previous_id": pa.array(
                        [self.customers.get(name) for name in numbers], pa.string()
                    ),
                }
            ),
            vanished=pa.table(
                {
                    "record_id": pa.array(gone, pa.string()),
                    "previous_id": pa.array([self.customers[name] for name in gone], pa.string()),
                }
            ),
            links=pa.table(
                {
                    "left": pa.array([numbers[link.left] for link in links], pa.int64()),
                    "right": pa.array([numbers[link.right] for link in links], pa.int64()),
                    "tier": pa.array([link.tier for link in links], pa.int32()),
                    "score": pa.array([link.score for link in links], pa.float64()),
                    "first_seen": pa.array([link.seen for link in links], pa.timestamp("us")),
                    "rule": pa.array([link.rule for link in links], pa.string()),
                    "rule_version": pa.array(["1" for _ in links], pa.string()),
                }
            ),
            limited=pa.table(
                {
                    "number": pa.array([numbers[name] for name in logins], pa.int64()),
                    "identifier_type": pa.array(["user_id" for _ in logins], pa.string()),
                    "identifier_value": pa.array(logins.values(), pa.string()),
                    "max_per_customer": pa.array([1 for _ in logins], pa.int32()),
                }
            ),
            cannot_link=pa.table(
                {
                    "left": pa.array([numbers[left] for left, _ in apart], pa.int64()),
                    "right": pa.array([numbers[right] for _, right in apart], pa.int64()),
                }
            ),
            scores=self._scores(
                {(numbers[pair[0]], numbers[pair[1]]): pair for pair in known if stored(pair)}
            ),
        )
        return resolve_scope(scope, score, self.soft_cap, self.hard_cap)

    def _scores(self, pairs: dict[tuple[int, int], str]) -> pa.Table:
        return pa.table(
            {
                "left": pa.array([left for left, _ in pairs], pa.int64()),
                "right": pa.array([right for _, right in pairs], pa.int64()),
                "match_weight": pa.array(
                    [self.scores[pair] for pair in pairs.values()], pa.float64()
                ),
                "is_vetoed": pa.array([pair in self.vetoes for pair in pairs.values()], pa.bool_()),
            }
        )

    def groups(self) -> list[str]:
        """The customers as sorted strings of their records: `["ABC", "D"]`."""
        members: dict[str, list[str]] = {}
        for name, customer in self.customers.items():
            members.setdefault(customer, []).append(name)
        return sorted("".join(sorted(names)) for names in members.values())

    def id_of(self, name: str) -> str:
        """The record whose customer id a record has: `A` when the id is that of anchor A."""
        owners = {customer_id(one): one for one in [*self.records, *map(chr, range(65, 91))]}
        return owners[self.customers[name]]

    def history(self) -> list[str]:
        """What happened to ids that lived before: `merge B>A` (B ended in A)."""
        owners = {customer_id(chr(code)): chr(code) for code in range(65, 91)}
        return [
            f"{event.event} {owners.get(event.other_customer_id or '', '')}>"
            f"{owners.get(event.customer_id, event.customer_id)}"
            for event in self.events
        ]


def _pair(left: str, right: str) -> tuple[str, str]:
    return (left, right) if left < right else (right, left)
