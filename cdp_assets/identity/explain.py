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

import pyarrow as pa

from cdp_assets.identity.decisions import CURRENT_DECISIONS
from cdp_assets.identity.evidence import Evidence, Pair, ordered, read_evidence
from cdp_assets.identity.match_model import MatchModel
from cdp_assets.identity.references import Reference
from cdp_assets.resources.warehouse import Reader

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
    reader: Reader, left: Reference, right: Reference, model: MatchModel | None
) -> Explanation:
    """Say why two references are one customer, or why not.

    Args:
        reader: of a version of the warehouse.
        left: from `references.resolve`.
        right: from `references.resolve`.
        model: the identity model of that version; without it levels go by number.
    """
    given = {*left.records, *right.records}
    members = _members(reader, given)
    customers = {record: name for record, name in members.items() if record in given}
    explanation = Explanation(left, right, customers)
    # A customer that the other was merged into has its records, too: what is new lies between.
    starts = sorted({*left.records} - {*right.records}) or list(left.records)
    ends = sorted({*right.records} - {*left.records}) or list(right.records)
    if starts == ends:
        return explanation
    if explanation.is_one:
        common = explanation.common_customers
        together = {record for record, name in members.items() if name in common}
        path = shortest_path(_links(reader, together), {*starts} & together, {*ends} & together)
        evidence = read_evidence(reader, [step.pair for step in path], model)
        return Explanation(left, right, customers, path, (), evidence)
    best = _best_evidence(reader, starts, ends, model)
    return Explanation(
        left,
        right,
        customers,
        obstacles=_obstacles(reader, starts, ends, members, best),
        evidence={(best.left_record_id, best.right_record_id): best} if best else {},
    )


def owners_at(reader: Reader, records: Sequence[str], at: datetime) -> list[Ownership]:
    """Whose customer each record was at a time (UTC, whole milliseconds), and whose it is now."""
    rows = reader.query(
        """
        select
            given.record_id,
            history.customer_id as then_customer_id,
            mapped.customer_id as now_customer_id
        from given
        left join identity.customer_map_history as history
            on given.record_id = history.record_id
            and history.valid_from <= given.moment
            and (history.valid_to is null or history.valid_to > given.moment)
        left join identity.customer_map as mapped on given.record_id = mapped.record_id
        order by given.record_id
        """,
        {"given": _with_moment("record_id", records, at)},
    )
    return [Ownership(*row.values()) for row in rows.to_pylist()]


def changes_since(reader: Reader, customers: Collection[str], at: datetime) -> list[Change]:
    """What happened to these customer ids after a time, oldest first."""
    if not customers:
        return []
    rows = reader.query(
        """
        select occurred_at, event, customer_id, other_customer_id, rule
        from identity.customer_id_events as events
        where
            events.occurred_at > (select max(moment) from given)
            and (
                events.customer_id in (select customer_id from given)
                or events.other_customer_id in (select customer_id from given)
            )
        order by occurred_at, event, customer_id, other_customer_id
        """,
        {"given": _with_moment("customer_id", sorted(customers), at)},
    )
    return [Change(**row) for row in rows.to_pylist()]


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


def _with_moment(column: str, values: Sequence[str], at: datetime) -> pa.Table:
    """An input: ids, each beside the moment."""
    moments = pa.array([at] * len(values), pa.timestamp("us"))
    return pa.table({column: pa.array(values, pa.string()), "moment": moments})


def _records(records: Collection[str]) -> pa.Table:
    """An input: record ids."""
    return pa.table({"record_id": pa.array(sorted(records), pa.string())})


def _members(reader: Reader, records: Collection[str]) -> dict[str, str]:
    """Every record of the customers that these records belong to, with its customer."""
    rows = reader.query(
        """
        select record_id, customer_id from identity.customer_map
        where customer_id in (
            select customer_id from identity.customer_map
            where record_id in (select record_id from given)
        )
        """,
        {"given": _records(records)},
    )
    return {row["record_id"]: row["customer_id"] for row in rows.to_pylist()}


def _links(reader: Reader, members: Collection[str]) -> list[Step]:
    """The links among these records that were not refused, decisions of people included."""
    rows = reader.query(
        f"""
        with links as (
            select
                left_record_id, right_record_id, rule, rule_version, tier, score, identifier_type
            from identity.identity_edges
            union all
            select
                left_record_id, right_record_id, 'decision', 'human', 0, 1e0,
                cast(null as varchar)
            from ({CURRENT_DECISIONS}) as decisions
            where decision = 'must_link'
        )
        select links.* from links
        where
            links.left_record_id in (select record_id from members)
            and links.right_record_id in (select record_id from members)
            and not exists (
                select 1 from identity.refused_merges as refused
                where
                    refused.left_record_id = links.left_record_id
                    and refused.right_record_id = links.right_record_id
                    and refused.rule = links.rule
            )
        """,
        {"members": _records(members)},
    )
    return [Step(**row) for row in rows.to_pylist()]


def _best_evidence(
    reader: Reader, starts: Sequence[str], ends: Sequence[str], model: MatchModel | None
) -> Evidence | None:
    pairs = [(a, b) for a in starts[:_COMPARED] for b in ends[:_COMPARED]]
    found = read_evidence(reader, pairs, model).values()
    return max(
        found,
        key=lambda item: (item.match_weight, item.left_record_id, item.right_record_id),
        default=None,
    )


def _obstacles(
    reader: Reader,
    starts: Sequence[str],
    ends: Sequence[str],
    members: Mapping[str, str],
    best: Evidence | None,
) -> list[Obstacle]:
    """Every reason on record, the strongest kind first; at least one."""
    sides = _sides(starts, ends, members)
    found = [*_homeless([*starts, *ends], members), *_on_record(reader, sides)]
    told = {obstacle.pair for obstacle in found}
    shared = _shared_values(reader, sides)
    found += [item for item in shared if item.reason in _SUPPRESSED or item.pair not in told]
    if best is None:
        found.append(
            Obstacle(
                "nothing_to_compare",
                "The model cannot compare them: it needs a name, a birth date or a national id "
                "on both sides.",
            )
        )
    elif (best.left_record_id, best.right_record_id) not in told:
        found += _by_the_model(reader, best)
    if all(obstacle.reason in _NO_LINK for obstacle in found):
        found.insert(0, Obstacle("nothing_in_common", "No rule saw a value that both have."))
    return found


# Reasons that say only that nothing links them, not what keeps them apart.
_SUPPRESSED: Final = ("blocked", "too_many_records", "too_many_people")
_NO_LINK: Final = ("nothing_to_compare", "weight_too_low")


def _sides(starts: Sequence[str], ends: Sequence[str], members: Mapping[str, str]) -> pa.Table:
    """An input: the records of both sides, and the others of their customers."""
    rows = []
    for side, given in (("left", starts), ("right", ends)):
        named = {*given}
        customers = {members[record] for record in named & members.keys()}
        others = {record for record, name in members.items() if name in customers}
        rows += [
            {"side": side, "record_id": record, "is_given": record in named}
            for record in sorted(named | others)
        ]
    kinds = (("side", pa.string()), ("record_id", pa.string()), ("is_given", pa.bool_()))
    return pa.Table.from_pylist(rows, pa.schema(kinds))


def _homeless(records: Sequence[str], members: Mapping[str, str]) -> list[Obstacle]:
    return [
        Obstacle(
            "no_customer",
            f"{record} has no customer: it is gone from the data, or its cluster is held back "
            "because it is too large.",
        )
        for record in sorted({*records} - members.keys())[:_SHOWN]
    ]


def _on_record(reader: Reader, sides: pa.Table) -> list[Obstacle]:
    """Decisions of people, then refused joins of customers, then refused links."""
    rows = reader.query(
        f"""
        with on_left as (select record_id from sides where side = 'left'),
        on_right as (select record_id from sides where side = 'right'),
        reasons as (
            select
                1 as kind, 0 as tier, left_record_id, right_record_id, 'cannot_link' as reason,
                cast(null as varchar) as rule, cast(null as varchar) as rule_version,
                cast(null as varchar) as identifier_type, decided_by, decided_at
            from ({CURRENT_DECISIONS}) as decisions
            where decision = 'cannot_link'
            union all
            select
                2, tier, left_record_id, right_record_id, reason, rule, rule_version, null, null,
                null
            from identity.refused_merges
            union all
            select
                3, tier, left_record_id, right_record_id, reason, rule, null, identifier_type, null,
                null
            from identity.refused_edges
            where reason <> 'blocked_identifier'
        ),
        placed as (
            select
                *,
                row_number() over (
                    partition by kind
                    order by tier, decided_at, left_record_id, right_record_id, rule, reason
                ) as place
            from reasons
            where
                left_record_id in (select record_id from on_left)
                and right_record_id in (select record_id from on_right)
                or left_record_id in (select record_id from on_right)
                and right_record_id in (select record_id from on_left)
        )
        select * from placed
        where place <= {_SHOWN}
        order by kind, place
        """,
        {"sides": sides},
    )
    return [_reason_on_record(row) for row in rows.to_pylist()]


def _reason_on_record(row: Mapping[str, Any]) -> Obstacle:
    meaning = _meaning(row["reason"])
    if row["kind"] == 1:
        day = f"{row['decided_at']:%Y-%m-%d}"
        sentence = f"{row['decided_by']} decided on {day} to keep these two apart."
    elif row["kind"] == 2:
        link = f"A link by {row['rule']} (version {row['rule_version']})"
        sentence = f"{link} was refused when the customers were built: {meaning}."
    elif row["identifier_type"]:
        value = f"They share a value of {row['identifier_type']}"
        sentence = f"{value}, and its rule {row['rule']} refused the link: {meaning}."
    else:
        sentence = f"The model refused the link: {meaning}."
    return Obstacle(row["reason"], sentence, ordered(row["left_record_id"], row["right_record_id"]))


def _shared_values(reader: Reader, sides: pa.Table) -> list[Obstacle]:
    """Values that both sides have: suppressed ones, and ones that link either to somebody else."""
    rows = reader.query(
        f"""
        with given as (select record_id, side from sides where is_given),
        refusals as (
            select identifier_type, identifier_value, left_record_id as record_id, reason
            from identity.refused_edges
            union all
            select identifier_type, identifier_value, right_record_id, reason
            from identity.refused_edges
        ),
        refused as (
            select * from refusals
            where record_id in (select record_id from given)
        ),
        held as (
            select given.side, given.record_id, known.identifier_type, known.identifier_value
            from identity.identifiers as known
            inner join given on known.record_id = given.record_id
            where known.is_current
        ),
        shared as (
            select
                a.identifier_type, a.identifier_value, a.record_id as left_record_id,
                b.record_id as right_record_id, min(suppressed.reason) as suppressed,
                min(suppressed.record_count) as record_count,
                min(suppressed.people_count) as people_count, min(refused.reason) as refusal
            from held as a
            inner join held as b
                on a.identifier_type = b.identifier_type and a.identifier_value = b.identifier_value
            left join identity.suppressed_identifiers as suppressed
                on a.identifier_type = suppressed.identifier_type
                and a.identifier_value = suppressed.identifier_value
            left join refused
                on a.identifier_type = refused.identifier_type
                and a.identifier_value = refused.identifier_value
                and (refused.record_id = a.record_id or refused.record_id = b.record_id)
            where a.side = 'left' and b.side = 'right'
            group by a.identifier_type, a.identifier_value, a.record_id, b.record_id
        )
        select
            identifier_type, left_record_id, right_record_id, suppressed, record_count,
            people_count, refusal
        from shared
        order by
            suppressed is null, identifier_type, left_record_id, right_record_id, identifier_value
        limit {_SHOWN}
        """,
        {"sides": sides},
    )
    return [_shared_value(*row.values()) for row in rows.to_pylist()]


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


def _by_the_model(reader: Reader, best: Evidence) -> list[Obstacle]:
    pair = (best.left_record_id, best.right_record_id)
    says = f"The model gives them {best.match_weight:+.1f} bits ({best.probability:.2%})"
    if best.veto is not None:
        return [Obstacle(best.veto, f"{says}, and vetoes: {_meaning(best.veto)}.", pair)]
    [stored] = reader.query(
        """
        select
            cast(settings.auto_probability as double) as auto_probability,
            cast(settings.review_probability as double) as review_probability,
            stored.band
        from identity.match_settings as settings
        cross join pair
        left join identity.match_pairs as stored
            on pair.left_record_id = stored.left_record_id
            and pair.right_record_id = stored.right_record_id
        """,
        {"pair": _pair(pair)},
    ).to_pylist()
    if best.probability < stored["review_probability"]:
        low = f"less than the {stored['review_probability']:.2%} from which people review"
        return [Obstacle("weight_too_low", f"{says}: {low}.", pair)]
    if stored["band"] is None:
        return [Obstacle(*_never_compared(reader, says, pair), pair)]
    if stored["band"] == "review":
        auto = stored["auto_probability"]
        why = (
            f"less than the {auto:.2%} that link by themselves"
            if best.probability < auto
            else "but too few things agree for the model to be sure"
        )
        return [Obstacle("in_review", f"{says}, {why}: it waits for a person (cdp review).", pair)]
    return [Obstacle("enough_alone", f"{says}, which alone would link them.", pair)]


def _never_compared(reader: Reader, says: str, pair: Pair) -> tuple[str, str]:
    [blocks] = reader.query(
        """
        select
            count(*) as shared,
            count(case when oversized.is_oversized then 1 end) as oversized
        from pair
        inner join identity.match_keys as a on pair.left_record_id = a.record_id
        inner join identity.match_keys as b
            on pair.right_record_id = b.record_id
            and a.block_rule = b.block_rule
            and a.block_key = b.block_key
        left join identity.oversized_blocks as oversized
            on a.block_rule = oversized.block_rule and a.block_key = oversized.block_key
        where a.is_current and b.is_current
        """,
        {"pair": _pair(pair)},
    ).to_pylist()
    if blocks["shared"] and blocks["shared"] == blocks["oversized"]:
        return "oversized_block", f"{says}, but only blocks with too many records hold both."
    return "no_common_block", f"{says}, but no blocking rule brings them together."


def _pair(pair: Pair) -> pa.Table:
    """An input: one pair of records."""
    return pa.table({"left_record_id": [pair[0]], "right_record_id": [pair[1]]})


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
