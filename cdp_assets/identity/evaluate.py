"""How well links and clusters agree with a known truth, by the measures of the field.

All of them follow from counts: records per cluster, per entity, and per pair of both.
Not here: any use of the truth by the pipeline; it never reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cdp_assets.naming import CLEANSED, clean_name
from cdp_assets.resources.warehouse import Reader

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """How much of what was found is right, and how much of what is right was found; 0 to 1.

    With nothing found nothing is wrong, and precision is 1; so is recall with nothing to find.
    """

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True)
class Evaluation:
    """Agreement of clusters with true entities.

    Attributes:
        records: records compared.
        entities: true people among them.
        clusters: customers among them.
        pairs: agreement over pairs of records that are in one cluster.
        b_cubed: the same seen from each record, on average over records: the share of its cluster
            that is of its entity, and of its entity that is in its cluster (Bagga, Baldwin 1998).
        exact_entities: entities whose records are one cluster, and the whole of it.
        over_merged: clusters that hold records of more than one entity.
        joined: clusters of two or more records: those that could be over-merged.
        largest_cluster: records in the largest cluster.
        largest_entity: records of the largest entity.
    """

    records: int
    entities: int
    clusters: int
    pairs: Agreement
    b_cubed: Agreement
    exact_entities: int
    over_merged: int
    joined: int
    largest_cluster: int
    largest_entity: int

    @property
    def precision(self) -> float:
        """Of the pairs put together, the share that belong together."""
        return self.pairs.precision

    @property
    def recall(self) -> float:
        """Of the pairs that belong together, the share put together."""
        return self.pairs.recall

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall over pairs."""
        return self.pairs.f1

    @property
    def exact_entity_rate(self) -> float:
        """Entities found exactly, as a share of all entities."""
        return _share(self.exact_entities, self.entities)

    @property
    def over_merged_share(self) -> float:
        """Over-merged clusters as a share of the clusters of two or more records.

        A cluster of one record cannot be over-merged, so counting those would flatter.
        """
        return self.over_merged / self.joined if self.joined else 0.0


def evaluate(clusters: IntArray, entities: IntArray) -> Evaluation:
    """Compare two partitions of the same records by their contingency counts.

    Args:
        clusters: found cluster number per record, any integers.
        entities: true entity number per record, any integers, as long as `clusters`.
    """
    _, clusters = np.unique(clusters, return_inverse=True)
    _, entities = np.unique(entities, return_inverse=True)
    both, shared = np.unique(
        clusters.astype(np.int64) << 32 | entities.astype(np.int64), return_counts=True
    )
    cluster, entity = both >> 32, both & 0xFFFFFFFF
    sizes, true_sizes = np.bincount(clusters), np.bincount(entities)
    entities_within = np.bincount(cluster, minlength=len(sizes))
    right = _pairs(shared)
    return Evaluation(
        records=len(clusters),
        entities=len(true_sizes),
        clusters=len(sizes),
        pairs=Agreement(_share(right, _pairs(sizes)), _share(right, _pairs(true_sizes))),
        b_cubed=Agreement(
            _share((shared**2 / sizes[cluster]).sum(), len(clusters)),
            _share((shared**2 / true_sizes[entity]).sum(), len(clusters)),
        ),
        exact_entities=int(
            ((shared == sizes[cluster]) & (shared == true_sizes[entity])).sum(),
        ),
        over_merged=int((entities_within > 1).sum()),
        joined=int((sizes > 1).sum()),
        largest_cluster=int(sizes.max(initial=0)),
        largest_entity=int(true_sizes.max(initial=0)),
    )


def evaluate_pairs(left: IntArray, right: IntArray, entities: IntArray) -> Agreement:
    """Compare linked pairs of records, before any closure over them, with the true entities.

    Args:
        left: record of each pair, as a row of `entities`.
        right: the other record, likewise. A pair that comes twice, either way round, counts once.
        entities: true entity number per record, any integers.
    """
    low, high = np.minimum(left, right).astype(np.int64), np.maximum(left, right).astype(np.int64)
    pairs = np.unique((low << 32 | high)[low != high])
    is_right = entities[pairs >> 32] == entities[pairs & 0xFFFFFFFF]
    _, sizes = np.unique(entities, return_counts=True)
    found = int(is_right.sum())
    return Agreement(_share(found, len(pairs)), _share(found, _pairs(sizes)))


def _pairs(sizes: IntArray) -> int:
    """Pairs within groups of these sizes."""
    return int((sizes * (sizes - 1) // 2).sum())


def _share(part: float, whole: int) -> float:
    return float(part / whole) if whole else 1.0


def evaluate_sample(reader: Reader, truth: Path) -> Evaluation:
    """Compare the customer map with the sample company's ground truth.

    A record stands for several source rows; its true person is that of most of them. Devices
    are left out: who held one is not a fact about a record. It reads a row per record of the
    sample, however many customers there are.

    Args:
        reader: of a version of the warehouse.
        truth: Parquet with source, entity, natural_key, person_id.
    """
    rows = reader.query(_sample_sql(), {"truth": pq.read_table(truth)})
    return evaluate(rows["cluster"].to_numpy(), rows["entity"].to_numpy())


_NATURAL_KEYS = {
    ("crm", "contacts"): "contact_id",
    ("pos", "receipts"): "receipt_id",
    ("contact_center", "contacts"): "contact_id",
    ("email", "events"): "message_id",
    ("web", "events"): "message_id",
    ("mobile", "events"): "message_id",
}


def _sample_sql() -> str:
    rows = " union all ".join(
        f"""
        select clean.record_id, truth.person_id
        from {CLEANSED}.{clean_name(source, entity)} as clean
        inner join truth
            on truth.source = '{source}' and truth.entity = '{entity}'
            and truth.natural_key = clean.{key}
        """
        for (source, entity), key in _NATURAL_KEYS.items()
    )
    return f"""
        with counted as (
            select record_id, person_id, count(*) as row_count
            from ({rows}) as rows_of
            where person_id is not null
            group by record_id, person_id
        ),
        owners as (
            select
                record_id,
                person_id,
                row_number() over (
                    partition by record_id order by row_count desc, person_id
                ) as place
            from counted
        )
        select
            dense_rank() over (order by mapped.customer_id) as cluster,
            dense_rank() over (order by owners.person_id) as entity
        from owners
        inner join identity.customer_map as mapped on owners.record_id = mapped.record_id
        where owners.place = 1 and split_part(owners.record_id, ':', 2) <> 'device'
    """
