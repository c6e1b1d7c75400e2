"""Repeatable chance: the value drawn for row i depends on (seed, name, row id) and nothing else.

Here: one counter-based generator over arrays of ids (SplitMix64: Steele, Lea, Flood 2014).
Because nothing is drawn in sequence, days can be made in any order, by any thread, and a property
of a person or a device needs no table: it is asked for again and comes out the same.
Not here: what the draws mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 1.0 / (1 << 53)


class Dice:
    """Draws for arrays of ids. `what` names the draw; equal (what, id) give equal values."""

    def __init__(self, seed: int, name: str) -> None:
        self._name = f"{seed}/{name}"

    def bits(self, what: str, ids: np.ndarray) -> np.ndarray:
        """64 even random bits per id, as uint64."""
        digest = hashlib.blake2b(f"{self._name}/{what}".encode(), digest_size=8).digest()
        z = np.asarray(ids).astype(np.uint64)
        z *= _GOLDEN
        z += np.uint64(int.from_bytes(digest, "little"))
        z ^= z >> np.uint64(30)
        z *= _MIX_1
        z ^= z >> np.uint64(27)
        z *= _MIX_2
        z ^= z >> np.uint64(31)
        return z

    def uniform(self, what: str, ids: np.ndarray) -> np.ndarray:
        """Floats in [0, 1)."""
        return (self.bits(what, ids) >> np.uint64(11)).astype(np.float64) * _TO_UNIT

    def chance(self, what: str, ids: np.ndarray, share: float | np.ndarray) -> np.ndarray:
        """True for `share` (0 to 1) of the ids."""
        return self.uniform(what, ids) < share

    def below(self, what: str, ids: np.ndarray, high: int | np.ndarray) -> np.ndarray:
        """Whole numbers in [0, high), as int64."""
        return (self.uniform(what, ids) * high).astype(np.int64)

    def pick(self, what: str, ids: np.ndarray, weights: Sequence[float]) -> np.ndarray:
        """Index into `weights`, each as likely as its weight; the weights need not add up to 1."""
        edges = np.cumsum(np.asarray(weights, dtype=np.float64))
        drawn = self.uniform(what, ids) * edges[-1]
        return np.minimum(np.searchsorted(edges, drawn, side="right"), len(edges) - 1)
