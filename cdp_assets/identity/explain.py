"""Why two records are one customer: the path of links between them.

Not here: scores per field (the probabilistic stage brings them) and why two are not linked
(`refused_edges`, `refused_merges`).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One link of a path, in the direction in which it is walked.

    Attributes:
        left_record_id: where the step begins.
        right_record_id: where it ends.
        rule: what linked them.
        rule_version: which version of the rules.
        tier: 0 a human decision, 1 a unique id, 2 a contact value, 3 a device.
        score: between 0 and 1, greater is stronger.
    """

    left_record_id: str
    right_record_id: str
    rule: str
    rule_version: str
    tier: int
    score: float


def explain(links: Iterable[Step], start: str, end: str) -> list[Step]:
    """The shortest path between two records; of equally short ones that with the strongest steps.

    Args:
        links: the links of the records' cluster; direction does not matter.
        start: a record id.
        end: a record id.

    Returns:
        The steps from start to end; empty when no path exists, or when both are one record.
    """
    neighbours: dict[str, list[Step]] = defaultdict(list)
    for link in links:
        neighbours[link.left_record_id].append(link)
        neighbours[link.right_record_id].append(_reversed(link))
    reached_by: dict[str, Step | None] = {start: None}
    waiting = deque([start])
    while waiting and end not in reached_by:
        here = waiting.popleft()
        for step in sorted(neighbours[here], key=_strongest_first):
            if step.right_record_id not in reached_by:
                reached_by[step.right_record_id] = step
                waiting.append(step.right_record_id)
    path: list[Step] = []
    step = reached_by.get(end)
    while step is not None:
        path.append(step)
        step = reached_by[step.left_record_id]
    return path[::-1]


def weakest(path: list[Step]) -> Step | None:
    """The step on which the path hangs: the greatest tier, then the least score."""
    return max(path, key=_strongest_first, default=None)


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
    )
