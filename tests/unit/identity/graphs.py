"""Pairs of records in well-known shapes, and the components that a session finds in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from cdp_assets.identity.components import components, components_in_warehouse
from cdp_assets.resources.warehouse import Statements

Pairs = Sequence[tuple[int, int]]

LONG = 10_000
_SHUFFLED = np.random.default_rng(7).permutation(LONG).tolist()

# Name: number of records, pairs.
SHAPES: dict[str, tuple[int, Pairs]] = {
    "nothing": (0, []),
    "strangers": (3, []),
    "chain": (5, [(0, 1), (1, 2), (2, 3), (3, 4)]),
    "fan_in": (40, [(one, 0) for one in range(1, 40)]),
    "fan_out": (40, [(39, one) for one in range(39)]),
    "diamond": (4, [(0, 1), (0, 2), (1, 3), (2, 3)]),
    "disjoint": (7, [(0, 2), (2, 4), (1, 3), (5, 6)]),
    "self_bridge": (4, [(0, 0), (1, 2), (2, 2), (3, 3)]),
    "said_twice": (3, [(0, 1), (1, 0), (0, 1)]),
    "long_chain": (LONG, [(one, one + 1) for one in range(LONG - 1)]),
    "long_chain_in_no_order": (LONG, list(pairwise(_SHUFFLED))),
}


@dataclass(frozen=True)
class Found:
    """What a session found: the component of each record, and in how many rounds."""

    labels: list[int]
    rounds: int


def find(session: Statements, record_count: int, pairs: Pairs, largest_in_memory: int = 0) -> Found:
    """Let a session find the components; a record without a pair is one by itself."""
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    given = pa.table({"left": ends[:, 0], "right": ends[:, 1]})
    session.execute(
        'create temporary table pairs as select "left", "right" from given',
        inputs={"given": given},
    )
    rounds = components_in_warehouse(session, "select * from pairs", "found", largest_in_memory)
    rows = session.query("select number, component from found").to_pydict()
    assert len(set(rows["number"])) == len(rows["number"])
    labels = dict(zip(rows["number"], rows["component"], strict=True))
    session.execute("drop table if exists found", "drop table if exists pairs")
    return Found([labels.get(number, number) for number in range(record_count)], rounds)


def in_memory(record_count: int, pairs: Pairs) -> list[int]:
    """What scipy finds."""
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return components(record_count, ends[:, 0], ends[:, 1]).tolist()


def as_groups(labels: Sequence[int]) -> list[list[int]]:
    """The records of each component: names of components do not matter."""
    groups: dict[int, list[int]] = {}
    for record, label in enumerate(labels):
        groups.setdefault(label, []).append(record)
    return sorted(groups.values())
