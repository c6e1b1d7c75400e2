"""How well clusters agree with a known truth, counted in pairs of records.

Not here: any use of the truth by the pipeline; it never reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from cdp_assets.naming import CLEANSED, clean_name


@dataclass(frozen=True)
class Evaluation:
    """Agreement of clusters with true entities, over pairs of records.

    Attributes:
        records: records compared.
        entities: true people among them.
        clusters: customers among them.
        precision: of the pairs put together, the share that belong together.
        recall: of the pairs that belong together, the share put together.
        f1: their harmonic mean.
        over_merged: clusters that hold records of more than one person.
    """

    records: int
    entities: int
    clusters: int
    precision: float
    recall: float
    f1: float
    over_merged: int


def evaluate(clusters: NDArray[np.int64], entities: NDArray[np.int64]) -> Evaluation:
    """Compare two partitions of the same records by their contingency counts.

    Args:
        clusters: found cluster number per record, non-negative.
        entities: true entity number per record, non-negative, as long as `clusters`.
    """
    _, clusters = np.unique(clusters, return_inverse=True)
    _, entities = np.unique(entities, return_inverse=True)
    both, together = np.unique(
        clusters.astype(np.int64) << 32 | entities.astype(np.int64), return_counts=True
    )
    right = _pairs(together)
    found, true = _pairs(np.bincount(clusters)), _pairs(np.bincount(entities))
    precision, recall = right / found if found else 1.0, right / true if true else 1.0
    return Evaluation(
        records=len(clusters),
        entities=len(np.unique(entities)),
        clusters=len(np.unique(clusters)),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        over_merged=int((np.bincount(both >> 32) > 1).sum()) if len(both) else 0,
    )


def _pairs(sizes: NDArray[np.int64]) -> int:
    """Pairs within groups of these sizes."""
    return int((sizes * (sizes - 1) // 2).sum())


def evaluate_sample(connection: duckdb.DuckDBPyConnection, truth: Path) -> Evaluation:
    """Compare the customer map with the sample company's ground truth.

    A record stands for several source rows; its true person is that of most of them. Devices
    are left out: who held one is not a fact about a record.

    Args:
        connection: a version of the warehouse.
        truth: Parquet with source, entity, natural_key, person_id.
    """
    rows = connection.execute(_sample_sql(), {"truth": str(truth)}).fetchnumpy()
    return evaluate(rows["cluster"].astype(np.int64), rows["entity"].astype(np.int64))


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
        with truth as (select * from read_parquet($truth)),
        counted as (
            select record_id, person_id, count(*) as n from ({rows}) group by all
        ),
        owners as (
            select record_id, arg_min(person_id, (-n, person_id)) as person_id
            from counted group by record_id
        )
        select
            dense_rank() over (order by customer_id) as cluster,
            dense_rank() over (order by person_id) as entity
        from owners
        inner join identity.customer_map using (record_id)
        where split_part(record_id, ':', 2) <> 'device' and person_id is not null
    """
