"""Why two records are one customer, or why they are not: what the tables say about it.

Here: finding the path of links, its weakest link, and every reason that keeps two apart. Reads a
version of the warehouse and writes nothing. Not here: what was typed (`references.py`), the
weights of a pair (`evidence.py`), how it is shown (`report.py`).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import duckdb

from cdp_assets.identity.decisions import CURRENT_DECISIONS
from cdp_assets.identity.evidence import (
    Evidence,
    Pair,
    has_table,
    ordered,
    read_evidence,
    rows_of,
)
from cdp_assets.identity.match_model import MatchModel
from cdp_assets.identity.references import Reference

# Of each kind of reason; a customer of 200 records may have hundreds.
_SHOWN: Final = 5
# Records of one side that are compared with those of the other.
_COMPARED: Final = 100


@dataclass(frozen=True)
class Step:
    """One link of a path, in the direction in which it is walked.

    Attributes:
        left_record_id: where the step begins.
        right_record_id: where it ends.
        rule: what linked them.
        rule_version: which version of the rules, or of the model.
        tier: 0 a human decision, 1 a unique id, 2 a contact value or the model, 3 a device.
        score: between 0 and 1, greater is stronger.
        identifier_type: of the value that both have, where the rule is about one.
    """

    left_record_id: str
    right_record_id: str
    rule: str
    rule_version: str
    tier: int
    score: float
    identifier_type: str | None = None

    @property
    def pair(self) -> Pair:
        """Both records, in ascending order."""
        return ordered(self.left_record_id, self.right_record_id)


@dataclass(frozen=True)
class Obstacle:
    """One reason why two records are not one customer.

    Attributes:
        reason: the word in the tables, for example `incompatible_first_names`.
        sentence: the same for people, without values.
        pair: the records that it is about, where it is about two.
    """

    reason: str
    sentence: str
    pair: Pair | None = None


@dataclass(frozen=True)
class Explanation:
    """All that there is to say about two references.

    Attributes:
        left: what was meant first.
        right: what was meant second.
        customers: of the records of both, by record id; held-back records may have none.
        path: the links from one to the other; empty when there is none, or nothing to link.
        obstacles: why they are not one customer; empty when they are.
        evidence: of the steps that the model can compare; when they are not linked, of the pair
            for which most speaks.
    """

    left: Reference
    right: Reference
    customers: Mapping[str, str]
    path: Sequence[Step] = ()
    obstacles: Sequence[Obstacle] = ()
    evidence: Mapping[Pair, Evidence] = field(default_factory=dict)

    @property
    def common_customers(self) -> list[str]:
        """The customers that have records of both."""
        of_left, of_right = (
            {self.customers[record] for record in side.records if record in self.customers}
            for side in (self.left, self.right)
        )
        return sorted(of_left & of_right)

    @property
    def is_one(self) -> bool:
        """Whether they are one customer now."""
        return bool(self.common_customers)


@dataclass(frozen=True)
class Ownership:
    """Whose a record was at a time, and whose it is now; None for nobody's."""

    record_id: str
    then: str | None
    now: str | None


@dataclass(frozen=True)
class Change:
    """What happened to a customer id after a time; see identity.customer_id_events."""

    occurred_at: datetime
    event: str
    customer_id: str
    other_customer_id: str | None
    rule: str | None


def shortest_path(
    links: Iterable[Step], starts: Collection[str], ends: Collection[str]
) -> list[Step]:
    """The shortest path from any start to any end; of equally short ones a strong one.

    Args:
        links: between records; direction does not matter.
        starts: record ids.
        ends: record ids.

    Returns:
        The steps; empty when no path exists, or when a record is start and end.
    """
    neighbours: dict[str, list[Step]] = defaultdict(list)
    for link in links:
        neighbours[link.left_record_id].append(link)
        neighbours[link.right_record_id].append(_reversed(link))
    reached_by: dict[str, Step | None] = dict.fromkeys(sorted(starts))
    waiting = deque(reached_by)
    goal = next((record for record in waiting if record in ends), None)
    while waiting and goal is None:
        here = waiting.popleft()
        for step in sorted(neighbours[here], key=_strongest_first):
            if step.right_record_id not in reached_by:
                reached_by[step.right_record_id] = step
                waiting.append(step.right_record_id)
                if goal is None and step.right_record_id in ends:
                    goal = step.right_record_id
    path: list[Step] = []
    step = reached_by.get(goal) if goal is not None else None
    while step is not None:
        path.append(step)
        step = reached_by[step.left_record_id]
    return path[::-1]


def weakest(path: Sequence[Step]) -> Step | None:
    """The step on which the path hangs: the greatest tier, then the least score."""
    return max(path, key=_strongest_first, default=None)


def explain(
    connection: duckdb.DuckDBPyConnection,
    left: Reference,
    right: Reference,
    model: MatchModel | None,
) -> Explanation:
    """Say why two references are one customer, or why not.

    Args:
        connection: a version of the warehouse; only read.
        left: from `references.resolve`.
        right: from `references.resolve`.
        model: the identity model of that version; without it levels go by number.
    """
    customers = _customers(connection, [*left.records, *right.records])
    explanation = Explanation(left, right, customers)
    # A customer that the other was merged into has its records, too: what is new lies between.
    starts = sorted({*left.records} - {*right.records}) or list(left.records)
    ends = sorted({*right.records} - {*left.records}) or list(right.records)
    if starts == ends:
        return explanation
    if explanation.is_one:
        members = _members(connection, explanation.common_customers)
        path = shortest_path(_links(connection, members), {*starts} & members, {*ends} & members)
        evidence = read_evidence(connection, [step.pair for step in path], model)
        return Explanation(left, right, customers, path, (), evidence)
    best = _best_evidence(connection, starts, ends, model)
    return Explanation(
        left,
        right,
        customers,
        obstacles=_obstacles(connection, starts, ends, best),
        evidence={(best.left_record_id, best.right_record_id): best} if best else {},
    )


def owners_at(
    connection: duckdb.DuckDBPyConnection, records: Sequence[str], at: datetime
) -> list[Ownership]:
    """Whose customer each record was at a time (UTC), and whose it is now."""
    rows = connection.execute(
        """
        select given.record_id, history.customer_id, mapped.customer_id
        from (select unnest($records) as record_id) as given
        left join identity.customer_map_history as history
            on given.record_id = history.record_id
            and history.valid_from <= $at
            and (history.valid_to is null or history.valid_to > $at)
        left join identity.customer_map as mapped on given.record_id = mapped.record_id
        order by given.record_id
        """,
        {"records": list(records), "at": at},
    ).fetchall()
    return [Ownership(*row) for row in rows]


def changes_since(
    connection: duckdb.DuckDBPyConnection, customers: Collection[str], at: datetime
) -> list[Change]:
    """What happened to these customer ids after a time, oldest first."""
    rows = connection.execute(
        """
        select occurred_at, event, customer_id, other_customer_id, rule
        from identity.customer_id_events
        where occurred_at > $at and (
            list_contains($customers, customer_id) or list_contains($customers, other_customer_id)
        )
        order by occurred_at, event, customer_id, other_customer_id
        """,
        {"customers": sorted(customers), "at": at},
    ).fetchall()
    return [Change(*row) for row in rows]


def _strongest_first(step: Step) -> tuple[int, float, str]:
    return step.tier, -step.score, step.right_record_id


def _reversed(step: Step) -> Step:
    return Step(
        step.right_record_id,
        step.left_record_id,
        step.rule,
        step.rule_version,
        step.tier,
        step.score,
        step.identifier_type,
    )


def _customers(connection: duckdb.DuckDBPyConnection, records: Sequence[str]) -> dict[str, str]:
    return dict(
        connection.execute(
            "select record_id, customer_id from identity.customer_map"
            " where record_id in (select unnest(?))",
            [list(records)],
        ).fetchall()
    )


def _members(connection: duckdb.DuckDBPyConnection, customers: Sequence[str]) -> set[str]:
    rows = connection.execute(
        "select record_id from identity.customer_map where customer_id in (select unnest(?))",
        [list(customers)],
    ).fetchall()
    return {record for (record,) in rows}


def _links(connection: duckdb.DuckDBPyConnection, members: Collection[str]) -> list[Step]:
    """The links among these records that were not refused, decisions of people included."""
    rows = connection.execute(
        f"""
        with members as (select unnest($members) as record_id),
        links as (
            select
                left_record_id, right_record_id, rule, rule_version, tier, score, identifier_type
            from identity.identity_edges
            union all
            select left_record_id, right_record_id, 'decision', 'human', 0, 1, null
            from ({CURRENT_DECISIONS}) as decisions
            where decision = 'must_link'
        )
        select links.* from links
        semi join members as a on links.left_record_id = a.record_id
        semi join members as b on links.right_record_id = b.record_id
        anti join identity.refused_merges as refused
            on links.left_record_id = refused.left_record_id
            and links.right_record_id = refused.right_record_id
            and links.rule = refused.rule
        """,
        {"members": sorted(members)},
    ).fetchall()
    return [Step(*row) for row in rows]


def _best_evidence(
    connection: duckdb.DuckDBPyConnection,
    starts: Sequence[str],
    ends: Sequence[str],
    model: MatchModel | None,
) -> Evidence | None:
    pairs = [(a, b) for a in starts[:_COMPARED] for b in ends[:_COMPARED]]
    found = read_evidence(connection, pairs, model).values()
    return max(
        found,
        key=lambda item: (item.match_weight, item.left_record_id, item.right_record_id),
        default=None,
    )


def _obstacles(
    connection: duckdb.DuckDBPyConnection,
    starts: Sequence[str],
    ends: Sequence[str],
    best: Evidence | None,
) -> list[Obstacle]:
    """Every reason on record, the strongest kind first; at least one."""
    inputs = {
        "left": _with_their_customers(connection, starts),
        "right": _with_their_customers(connection, ends),
    }
    found = [
        *_homeless(connection, [*starts, *ends]),
        *_decided_apart(connection, inputs),
        *_refused_merges(connection, inputs),
        *_refused_edges(connection, inputs),
    ]
    told = {obstacle.pair for obstacle in found}
    shared = _shared_values(connection, {"left": list(starts), "right": list(ends)})
    found += [item for item in shared if item.reason in _SUPPRESSED or item.pair not in told]
    if best is not None and (best.left_record_id, best.right_record_id) not in told:
        found += _by_the_model(connection, best)
    if best is None and has_table(connection, "match_evidence"):
        found.append(
            Obstacle(
                "nothing_to_compare",
                "The model cannot compare them: it needs a name, a birth date or a national id "
                "on both sides.",
            )
        )
    if all(obstacle.reason in _NO_LINK for obstacle in found):
        found.insert(0, Obstacle("nothing_in_common", "No rule saw a value that both have."))
    return found


# Reasons that say only that nothing links them, not what keeps them apart.
_SUPPRESSED: Final = ("blocked", "too_many_records", "too_many_people")
_NO_LINK: Final = ("nothing_to_compare", "weight_too_low")


def _with_their_customers(
    connection: duckdb.DuckDBPyConnection, records: Sequence[str]
) -> list[str]:
    customers = _customers(connection, records).values()
    return sorted({*records} | _members(connection, sorted({*customers})))


def _homeless(connection: duckdb.DuckDBPyConnection, records: Sequence[str]) -> list[Obstacle]:
    homeless = sorted({*records} - _customers(connection, records).keys())
    return [
        Obstacle(
            "no_customer",
            f"{record} has no customer: it is gone from the data, or its cluster is held back "
            "because it is too large.",
        )
        for record in homeless[:_SHOWN]
    ]


_BETWEEN: Final = """(
    left_record_id in (select unnest($left)) and right_record_id in (select unnest($right))
    or left_record_id in (select unnest($right)) and right_record_id in (select unnest($left))
)"""


def _decided_apart(
    connection: duckdb.DuckDBPyConnection, inputs: Mapping[str, Any]
) -> list[Obstacle]:
    rows = connection.execute(
        f"""
        select left_record_id, right_record_id, decided_by, decided_at
        from ({CURRENT_DECISIONS}) as decisions
        where decision = 'cannot_link' and {_BETWEEN}
        order by decided_at, left_record_id, right_record_id limit {_SHOWN}
        """,
        inputs,
    ).fetchall()
    return [
        Obstacle(
            "cannot_link",
            f"{decided_by} decided on {decided_at:%Y-%m-%d} to keep these two apart.",
            ordered(left, right),
        )
        for left, right, decided_by, decided_at in rows
    ]


def _refused_merges(
    connection: duckdb.DuckDBPyConnection, inputs: Mapping[str, Any]
) -> list[Obstacle]:
    rows = connection.execute(
        f"""
        select left_record_id, right_record_id, reason, rule, rule_version
        from identity.refused_merges where {_BETWEEN}
        order by tier, left_record_id, right_record_id, rule limit {_SHOWN}
        """,
        inputs,
    ).fetchall()
    return [
        Obstacle(
            reason,
            f"A link by {rule} (version {version}) was refused when the customers were built: "
            f"{_meaning(reason)}.",
            ordered(left, right),
        )
        for left, right, reason, rule, version in rows
    ]


def _refused_edges(
    connection: duckdb.DuckDBPyConnection, inputs: Mapping[str, Any]
) -> list[Obstacle]:
    rows = connection.execute(
        f"""
        select left_record_id, right_record_id, reason, rule, identifier_type
        from identity.refused_edges
        where {_BETWEEN} and reason <> 'blocked_identifier'
        order by tier, left_record_id, right_record_id, rule, reason limit {_SHOWN}
        """,
        inputs,
    ).fetchall()
    return [
        Obstacle(
            reason,
            (f"They share a value of {kind}, and its rule {rule} " if kind else "The model ")
            + f"refused the link: {_meaning(reason)}.",
            ordered(left, right),
        )
        for left, right, reason, rule, kind in rows
    ]


def _shared_values(
    connection: duckdb.DuckDBPyConnection, inputs: Mapping[str, Any]
) -> list[Obstacle]:
    """Values that both sides have: suppressed ones, and ones that link either to somebody else."""
    rows = connection.execute(
        f"""
        with given as (
            select unnest($left) as record_id union select unnest($right)
        ),
        refusals as (
            select
                identifier_type, identifier_value,
                unnest([left_record_id, right_record_id]) as record_id, reason
            from identity.refused_edges
            where
                left_record_id in (select record_id from given)
                or right_record_id in (select record_id from given)
        )
        select
            a.identifier_type, a.record_id, b.record_id,
            any_value(suppressed.reason), any_value(suppressed.record_count),
            any_value(suppressed.people_count), min(refusals.reason)
        from identity.identifiers as a
        inner join identity.identifiers as b
            on a.identifier_type = b.identifier_type and a.identifier_value = b.identifier_value
        left join identity.suppressed_identifiers as suppressed
            on a.identifier_type = suppressed.identifier_type
            and a.identifier_value = suppressed.identifier_value
        left join refusals
            on a.identifier_type = refusals.identifier_type
            and a.identifier_value = refusals.identifier_value
            and refusals.record_id in (a.record_id, b.record_id)
        where
            a.is_current and b.is_current
            and a.record_id in (select unnest($left))
            and b.record_id in (select unnest($right))
        group by a.identifier_type, a.identifier_value, a.record_id, b.record_id
        order by any_value(suppressed.reason) is null, a.identifier_type, a.record_id, b.record_id
        limit {_SHOWN}
        """,
        inputs,
    ).fetchall()
    return [_shared_value(*row) for row in rows]


def _shared_value(
    kind: str,
    left: str,
    right: str,
    suppressed: str | None,
    records: int | None,
    people: int | None,
    refusal: str | None,
) -> Obstacle:
    pair = ordered(left, right)
    if suppressed is not None:
        crowd = f"{records} records" + (f", {people} people" if people is not None else "")
        return Obstacle(
            suppressed,
            f"They share a value of {kind} that links nobody: {_meaning(suppressed)} ({crowd}).",
            pair,
        )
    why = f": {_meaning(refusal)}" if refusal else ""
    return Obstacle(
        refusal or "shared_value",
        f"They share a value of {kind}, whose rule links them to different people{why}.",
        pair,
    )


def _by_the_model(connection: duckdb.DuckDBPyConnection, best: Evidence) -> list[Obstacle]:
    pair = (best.left_record_id, best.right_record_id)
    says = f"The model gives them {best.match_weight:+.1f} bits ({best.probability:.2%})"
    if best.veto is not None:
        return [Obstacle(best.veto, f"{says}, and vetoes: {_meaning(best.veto)}.", pair)]
    limits = rows_of(connection.execute("select * from identity.match_settings"))[0]
    if best.probability < float(limits["review_probability"]):
        low = f"less than the {float(limits['review_probability']):.2%} from which people review"
        return [Obstacle("weight_too_low", f"{says}: {low}.", pair)]
    stored = connection.execute(
        "select band from identity.match_pairs where left_record_id = ? and right_record_id = ?",
        list(pair),
    ).fetchone()
    if stored is None:
        return [Obstacle(*_never_compared(connection, says, pair), pair)]
    if stored[0] == "review":
        auto = float(limits["auto_probability"])
        why = (
            f"less than the {auto:.2%} that link by themselves"
            if best.probability < auto
            else "but too few things agree for the model to be sure"
        )
        return [Obstacle("in_review", f"{says}, {why}: it waits for a person (cdp review).", pair)]
    return [Obstacle("enough_alone", f"{says}, which alone would link them.", pair)]


def _never_compared(
    connection: duckdb.DuckDBPyConnection, says: str, pair: Pair
) -> tuple[str, str]:
    shared, oversized = connection.execute(
        """
        select count(*), count(*) filter (where oversized.is_oversized)
        from identity.match_keys as a
        inner join identity.match_keys as b using (block_rule, block_key)
        left join identity.oversized_blocks as oversized using (block_rule, block_key)
        where a.record_id = ? and b.record_id = ? and a.is_current and b.is_current
        """,
        list(pair),
    ).fetchone() or (0, 0)
    if shared and shared == oversized:
        return "oversized_block", f"{says}, but only blocks with too many records hold both."
    return "no_common_block", f"{says}, but no blocking rule brings them together."


_MEANINGS: Final = {
    "ambiguous_device": "several people logged in on that device",
    "birth_date_conflict": "the birth dates contradict each other",
    "blocked": "it is on the list of values that stand for nobody",
    "blocked_identifier": "the value stands for nobody",
    "cannot_link": "a person decided to keep them apart",
    "conflicting_birth_dates": "the birth dates contradict each other",
    "conflicting_national_ids": "the national ids contradict each other",
    "conflicting_first_names": "the first names contradict each other",
    "incompatible_first_names": "the first names contradict each other",
    "over_soft_cap": "together they would have too many records",
    "outside_login_window": "the visits are too far from any login",
    "shared_by_several_people": "the record could belong to several people who exclude each other",
    "too_many_people": "too many people share it",
    "too_many_records": "too many records share it",
    "unique_id_conflict": "one customer would have too many values of a unique id",
    "vetoed": "the model vetoes a pair of their records",
    "weights_against": "more speaks against one person than for it",
}


def _meaning(reason: str) -> str:
    return _MEANINGS.get(reason, reason.replace("_", " "))
