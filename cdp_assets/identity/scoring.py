"""What the scores of pairs say about a component: which pairs it wants scored, and how they count.

Blocking finds pairs that may match; whether a whole component is one person, the pairs that
blocking left out tell as well. So all pairs within a component are evidence, those that are not
stored scored when they are wanted.

Not here: the score itself (SQL compiled from the identity model), what the evidence brings
(`clusters.py`), a pair field by field (`evidence.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cdp_assets.identity.clusters import Evidence, Links
from cdp_assets.identity.constraints import UNIQUE_ID_TIER
from cdp_assets.resources.warehouse import Statements

IntArray = NDArray[np.int64]

# Gives the scores of pairs of record numbers: columns left, right, match_weight, is_vetoed.
Score = Callable[[IntArray, IntArray], pa.Table]

# In larger components only stored pairs are evidence: all pairs of n records are n * n / 2.
LARGEST_SCORED_COMPONENT: Final = 300

# A score compares two records of the whole population, which are one person once in a million. Two
# that a chain of links connects are so far more often: what they agree and differ in counts for
# that much more, in bits. Valid 0 (a pair that tells nothing speaks strongly against) to the
# model's prior, about 20 (it says nothing). Measured on the labelled sets.
COMPONENT_BITS: Final = 2

# What a veto adds to what speaks against a pair, in hundredths of a bit; what speaks for the pair
# counts for nothing. Two records are kept apart by it; one that somebody mistyped still joins a
# group whose other records know it. Measured as above.
VETO_WEIGHT: Final = -1000

# Bits beyond any real score; keeps sums within 64 bits.
_UTMOST: Final = 1000


def evidence_of(scores: pa.Table, rows: IntArray) -> Evidence:
    """Scores as evidence.

    Args:
        scores: left, right (record numbers), match_weight (bits), is_vetoed.
        rows: position of each record number.
    """
    bits = np.clip(_numpy(scores["match_weight"]) + COMPONENT_BITS, -_UTMOST, _UTMOST)
    weight = np.rint(100 * bits).astype(np.int64)
    is_vetoed = _numpy(scores["is_vetoed"]).astype(bool)
    return Evidence(
        left=rows[_numpy(scores["left"])],
        right=rows[_numpy(scores["right"])],
        weight=np.where(is_vetoed, np.minimum(weight, 0) + VETO_WEIGHT, weight),
        is_vetoed=is_vetoed,
    )


def unscored_pairs(
    labels: IntArray,
    links: Links,
    has_score: NDArray[np.bool_],
    known: Evidence,
    largest: int = LARGEST_SCORED_COMPONENT,
) -> tuple[IntArray, IntArray]:
    """The pairs of records whose scores are wanted and not known.

    Args:
        labels: component per record.
        links: that the components are of; where unique ids and human decisions alone link, no
            score changes anything.
        has_score: records that can be compared.
        known: scores that are there already.
        largest: components with more records that can be compared are left out.

    Returns:
        Left and right record numbers, each pair once, the lesser left.
    """
    is_open = np.zeros(int(labels.max(initial=-1)) + 1, dtype=bool)
    is_open[labels[links.left[links.tier > UNIQUE_ID_TIER]]] = True
    records = np.flatnonzero(has_score & is_open[labels])
    records = records[np.argsort(labels[records], kind="stable")]
    counts = np.bincount(labels[records], minlength=len(is_open))
    starts = np.cumsum(counts) - counts
    parts = [np.empty(0, dtype=np.int64)]
    for size in np.flatnonzero(np.bincount(counts)).tolist():
        if 2 <= size <= largest:
            first, second = np.triu_indices(size, 1)
            start = starts[counts == size][:, None]
            parts.append(((records[start + first] << 32) | records[start + second]).ravel())
    wanted = np.concatenate(parts)
    there = (np.minimum(known.left, known.right) << 32) | np.maximum(known.left, known.right)
    wanted = wanted[~_is_in(wanted, np.sort(there))]
    return wanted >> 32, wanted & 0xFFFFFFFF


def _is_in(values: IntArray, ordered: IntArray) -> NDArray[np.bool_]:
    if len(ordered) == 0:
        return np.zeros(len(values), dtype=bool)
    places = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[places] == values


def score_pairs(session: Statements, left: IntArray, right: IntArray) -> pa.Table:
    """Let the warehouse score pairs of the records that `scope_records` numbers.

    Args:
        session: the one that the scope was read in.
        left: record numbers.
        right: as many.

    Returns:
        See `Score`; pairs that cannot be compared are missing.
    """
    session.execute(
        "delete from identity.pairs_to_score",
        _PAIRS_TO_SCORE,
        inputs={"wanted_pairs": pa.table({"left": left, "right": right})},
    )
    scores = session.query(_SCORES)
    session.execute("delete from identity.pairs_to_score")
    return scores


_PAIRS_TO_SCORE = """
    insert into identity.pairs_to_score
    select least(a.record_id, b.record_id), greatest(a.record_id, b.record_id)
    from wanted_pairs
    inner join scope_records as a on wanted_pairs."left" = a.number
    inner join scope_records as b on wanted_pairs."right" = b.number"""

_SCORES = """
    select
        a.number as "left", b.number as "right", scored.match_weight,
        scored.veto is not null as is_vetoed
    from identity.scored_pairs as scored
    inner join scope_records as a on scored.left_record_id = a.record_id
    inner join scope_records as b on scored.right_record_id = b.record_id"""


def _numpy(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().to_numpy(zero_copy_only=False)
