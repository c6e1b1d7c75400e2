"""What the identity model says of a pair of records, field by field, in bits.

Here: reading `identity.match_evidence` and naming its numbers by the model's levels. Not here:
how a weight is computed (the SQL that is compiled from the model), what follows from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cdp_assets.identity.match_model import Comparison, MatchModel
from cdp_assets.resources.warehouse import Reader, text_constant

Pair = tuple[str, str]


@dataclass(frozen=True)
class FieldWeight:
    """What one comparison adds.

    Attributes:
        field: name of the comparison.
        label: of the level that the two values reach, for example `one edit`.
        bits: what it adds to the match weight, `rarity` included.
        rarity: the part of it that comes from how rare the value is.
        is_missing: one of the two has no value, which says nothing.
    """

    field: str
    label: str
    bits: float
    rarity: float
    is_missing: bool


@dataclass(frozen=True)
class Evidence:
    """The evidence about one pair, lesser record id first. Weights in bits.

    Attributes:
        left_record_id: the lesser record id.
        right_record_id: the greater record id.
        prior: what is known before any field is compared.
        weights: one per comparison, in the order of the model.
        match_weight: the prior and all of the weights.
        veto: why these two must not be joined whatever the weight, or None.
        is_doubtful: the model leaves such a pair to people whatever the weight.
    """

    left_record_id: str
    right_record_id: str
    prior: float
    weights: tuple[FieldWeight, ...]
    match_weight: float
    veto: str | None
    is_doubtful: bool = False

    @property
    def probability(self) -> float:
        """Of being one person, 0 to 1."""
        return 1 / (1 + 2 ** -max(-1000.0, min(1000.0, self.match_weight)))


def ordered(one: str, other: str) -> Pair:
    """Two record ids as a pair, the lesser first."""
    return (one, other) if one < other else (other, one)


def read_evidence(
    reader: Reader, pairs: Collection[Pair], model: MatchModel | None
) -> dict[Pair, Evidence]:
    """The evidence of those pairs that can be compared, under the pair in ascending order.

    Args:
        reader: of a version of the warehouse.
        pairs: of record ids, in any order.
        model: the one that the warehouse scored with; without it levels go by number.
    """
    wanted = {ordered(*pair) for pair in pairs if pair[0] != pair[1]}
    if not wanted:
        return {}
    # The view pairs every record with every other. Athena would make all of these pairs for an
    # input, as it has to know the record ids while it plans: they stand in the text, as constants.
    rows = reader.query(
        "select * from identity.match_evidence"
        f" where left_record_id in ({_listed(left for left, _ in wanted)})"
        f" and right_record_id in ({_listed(right for _, right in wanted)})"
    ).to_pylist()
    found = (evidence_of(row, model) for row in rows)
    return {
        (evidence.left_record_id, evidence.right_record_id): evidence
        for evidence in found
        if (evidence.left_record_id, evidence.right_record_id) in wanted
    }


def doubtful_pair(reader: Reader, model: MatchModel) -> Evidence | None:
    """The pair that the model only just leaves to people: an example for a chart."""
    rows = reader.query(
        "select * from identity.review_queue"
        " order by match_weight desc, left_record_id, right_record_id limit 1"
    ).to_pylist()
    return evidence_of(rows[0], model) if rows else None


def evidence_of(row: Mapping[str, Any], model: MatchModel | None) -> Evidence:
    """The evidence in one row with gamma_*, weight_* and match_weight."""
    comparisons = {item.name: item for item in (model.comparisons if model else ())}
    names = [name.removeprefix("gamma_") for name in row if name.startswith("gamma_")]
    weights = tuple(
        _weight(name, row[f"gamma_{name}"], row[f"weight_{name}"] or 0.0, comparisons.get(name))
        for name in names
    )
    return Evidence(
        left_record_id=row["left_record_id"],
        right_record_id=row["right_record_id"],
        prior=row["match_weight"] - sum(weight.bits for weight in weights),
        weights=weights,
        match_weight=row["match_weight"],
        veto=row.get("veto"),
        is_doubtful=row.get("is_doubtful") or False,
    )


def _listed(records: Iterable[str]) -> str:
    return ", ".join(map(text_constant, sorted(set(records))))


def _weight(
    field: str, gamma: int | None, bits: float, comparison: Comparison | None
) -> FieldWeight:
    if gamma is None or gamma < 0:
        return FieldWeight(field, "missing", bits, 0.0, is_missing=True)
    level = dict(comparison.numbered()).get(gamma) if comparison else None
    if level is None:
        return FieldWeight(field, f"level {gamma}", bits, 0.0, is_missing=False)
    rarity = bits - level.weight if level.tf_column is not None else 0.0
    return FieldWeight(field, level.label, bits, rarity, is_missing=False)
