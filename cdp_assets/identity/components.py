"""Connected components: which records hang together over any number of pairs.

One answer in two ways: `components` for pairs that are in memory, `components_in_warehouse` for
more than fit there. Not here: which pairs there are (`scope.py`, `parts.py`), which records of a
component are not one customer (`clusters.py`).
"""

from __future__ import annotations

import random
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cdp_assets.resources.warehouse import Statements

IntArray = NDArray[np.int64]

# A prime: record numbers below it are mixed by arithmetic that stays within 64 bits.
_PRIME: Final = 2**31 - 1


def components(record_count: int, left: IntArray, right: IntArray) -> IntArray:
    """Connected component of each record, numbered 0..k-1.

    Args:
        record_count: records are 0..record_count-1.
        left: one end of each pair.
        right: the other, as many.
    """
    if record_count == 0:
        return np.empty(0, dtype=np.int64)
    graph = coo_matrix(
        (np.ones(len(left), dtype=np.int32), (left, right)), shape=(record_count, record_count)
    )
    _, labels = connected_components(graph, directed=False)
    return labels.astype(np.int64)


def components_in_warehouse(
    session: Statements, pairs: str, into: str, largest_in_memory: int = 0
) -> int:
    """Find connected components where the pairs are, whatever their number.

    In each round every record that still has a neighbour steps aside for the first of itself and
    its neighbours, in an order that is drawn anew for each round; the pairs of those that are left
    make the next round. Three quarters of the records or fewer are left, in expectation and
    whatever the graph, so a chain of n takes rounds of the order of log n, and all tables together
    are as large as a few times the first (Boegeholz, Brand and Todor, "In-database connected
    component analysis", 2020). Following the steps back gives each record its component.

    Args:
        session: where the temporary tables are made; all but one are dropped again.
        pairs: a SELECT of "left" and "right", record numbers from 0 to 2**31 - 2; the direction,
            repeats, and pairs of a record with itself do not matter.
        into: name of the temporary table that is made: number, component; one row per record that
            a pair ties to another. A component is called by the number of one of its records.
        largest_in_memory: once so few pairs are left, `components` does the rest.

    Returns:
        How many rounds it took.
    """
    dice = random.Random(0)
    session.execute(
        f"""
        create temporary table {into}_pairs0 as
        select distinct
            cast(least("left", "right") as bigint) as a,
            cast(greatest("left", "right") as bigint) as b
        from ({pairs}) as given
        where "left" <> "right"
        """
    )
    rounds = 0
    while left := _count(session, f"{into}_pairs{rounds}"):
        if left <= largest_in_memory:
            _step_in_memory(session, into, rounds)
        else:
            order = _Order(1 + dice.randrange(_PRIME - 1), dice.randrange(_PRIME))
            session.execute(_step(into, rounds, order))
        session.execute(_next_pairs(into, rounds), f"drop table if exists {into}_pairs{rounds}")
        rounds += 1
    _follow_back(session, into, rounds)
    return rounds


class _Order:
    """An order of all record numbers: as good as chance, and the same for both engines.

    Args:
        factor: from 1 to the prime less one.
        shift: from 0 to the prime less one.
    """

    def __init__(self, factor: int, shift: int) -> None:
        self._factor = factor
        self._shift = shift

    def code(self, number: str) -> str:
        """SQL of a value that sorts record numbers so, and ends in the number itself.

        The square keeps numbers that follow each other from following each other here, too.
        """
        shifted = f"(({number} + {self._shift}) % {_PRIME})"
        square = f"({shifted} * {shifted} % {_PRIME})"
        return f"({square} * {self._factor} % {_PRIME} * {_PRIME} + {number})"


def _step(into: str, place: int, order: _Order) -> str:
    """Each record with the first of itself and its neighbours."""
    return f"""
        create temporary table {into}_step{place} as
        select number, least(min(neighbour), {order.code("number")}) % {_PRIME} as component
        from (
            select a as number, {order.code("b")} as neighbour from {into}_pairs{place}
            union all
            select b, {order.code("a")} from {into}_pairs{place}
        ) as ends
        group by number"""


def _next_pairs(into: str, place: int) -> str:
    return f"""
        create temporary table {into}_pairs{place + 1} as
        select distinct
            least(x.component, y.component) as a, greatest(x.component, y.component) as b
        from {into}_pairs{place} as pairs
        inner join {into}_step{place} as x on pairs.a = x.number
        inner join {into}_step{place} as y on pairs.b = y.number
        where x.component <> y.component"""


def _step_in_memory(session: Statements, into: str, place: int) -> None:
    found = session.query(f"select a, b from {into}_pairs{place}")
    ends = np.concatenate([found[side].to_numpy() for side in ("a", "b")])
    numbers, codes = np.unique(ends, return_inverse=True)
    labels = components(len(numbers), *np.split(codes, 2))
    _, first = np.unique(labels, return_index=True)
    session.execute(
        f"create temporary table {into}_step{place} as select number, component from rest",
        inputs={"rest": pa.table({"number": numbers, "component": numbers[first][labels]})},
    )


def _follow_back(session: Statements, into: str, rounds: int) -> None:
    """Give each record the one that its last step leads to."""
    if rounds == 0:
        session.execute(
            f"create temporary table {into} as"
            f" select a as number, a as component from {into}_pairs0"
        )
    for place in reversed(range(rounds)):
        made = into if place == 0 else f"{into}_from{place}"
        further, known = f"{into}_from{place + 1}", place + 1 < rounds
        session.execute(
            f"create temporary table {made} as select step.number, "
            + ("coalesce(further.component, step.component)" if known else "step.component")
            + f" as component from {into}_step{place} as step"
            + (f" left join {further} as further on step.component = further.number" * known),
            f"drop table if exists {into}_step{place}",
            f"drop table if exists {further}",
        )
    session.execute(f"drop table if exists {into}_pairs{rounds}")


def _count(session: Statements, table: str) -> int:
    return session.query(f"select count(*) as rows_there from {table}")["rows_there"][0].as_py()
