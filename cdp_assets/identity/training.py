"""A matching model learned from records without labels.

Splink estimates u on random pairs and m by expectation maximisation over several blockings;
`estimation.py` then fits all numbers, and the prior, to all candidate pairs at once. Whatever the
data do not tell (a column that is empty, a level that nobody reaches) stays as `comparisons.py`
assumes it. Everything runs on a bounded sample and is seeded: the same records give the same
model, bit by bit.

Not here: the comparisons (`comparisons.py`), keeping and choosing models (`model_files.py`).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import splink
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from cdp_assets.errors import PlatformError
from cdp_assets.identity.comparisons import BLOCKING, COMPARISONS, DOUBTS, VETOES
from cdp_assets.identity.estimation import Estimate, Patterns, estimate
from cdp_assets.identity.match_model import (
    ELSE,
    MATCH_COLUMNS,
    Comparison,
    Level,
    MatchModel,
    TermFrequencies,
    Veto,
)
from cdp_assets.resources.warehouse import Warehouse

# The prior of two random records among those the assumed numbers were made up for.
_ASSUMED_PRIOR: Final = 3e-6
_LEAST_RECORDS: Final = 2
_EM_BLOCKINGS: Final = (
    ("last_name", "birth_date"),
    ("first_name_key", "birth_date"),
    ("first_name_key", "last_name", "city"),
    ("national_id",),
    ("email",),
    ("phone",),
)
# A blocking with fewer pairs teaches nothing.
_LEAST_EM_PAIRS: Final = 100
# So many records with a birth date tell how often people share a name.
_LEAST_DATED: Final = 200
# What training takes for two people: contradictions that EM, left alone, explains away, because
# relatives agree in so much else.
_RELATIVES: Final = (
    Veto(
        "different_first_names",
        "(gamma_first_name = 0 or gamma_household_first_name = 0)"
        " and ((gamma_birth_date < 0 and gamma_household_birth_date < 0)"
        " or (gamma_birth_date < 3 and gamma_household_birth_date < 3"
        " and gamma_national_id < 1 and gamma_household_national_id < 1))",
    ),
    Veto(
        "a_generation_apart",
        "(gamma_birth_date = 0 or gamma_household_birth_date = 0)"
        " and gamma_national_id < 1 and gamma_household_national_id < 1",
    ),
)


@dataclass(frozen=True)
class Limits:
    """How much training looks at.

    Attributes:
        records: sample of records; the rest only counts for term frequencies.
        random_pairs: for u.
        em_pairs: for each blocking of Splink's m.
        block_records: larger blocks make no candidates.
        value_count: a value that fewer records have is not listed in the model: rare names are
            personal data, and a share of few is no share.
        value_people: nor a name that goes with fewer birth dates.
    """

    records: int = 200_000
    random_pairs: int = 1_000_000
    em_pairs: int = 500_000
    block_records: int = 100
    value_count: int = 20
    value_people: int = 5


def train_model(warehouse: Warehouse) -> MatchModel:
    """Train on `identity.match_records` as it is now.

    Raises:
        PlatformError: it has too few records.
    """
    columns = ", ".join(("record_id", *MATCH_COLUMNS))
    records = warehouse.query(f"select {columns} from identity.match_records where is_current")
    trained_at = datetime.now(UTC).isoformat(timespec="seconds")
    return replace(train(records), trained_at=trained_at)


def train(records: pa.Table, seed: int = 1, limits: Limits | None = None) -> MatchModel:
    """Train a model.

    Args:
        records: `record_id` and the columns of the match records; those that lack are taken for
            empty.
        seed: of all chance.
        limits: how much to look at.

    Raises:
        PlatformError: fewer than two records.
    """
    limits = limits or Limits()
    if len(records) < _LEAST_RECORDS:
        raise PlatformError("training an identity model takes at least two match records.")
    with duckdb.connect() as connection:
        sampled = _load(connection, records, seed, limits)
        assumed = assumed_model(_term_frequencies(connection, limits))
        _add_term_frequencies(connection, assumed)
        begin, sessions = _by_splink(connection, assumed, seed, limits)
        found, counted = _by_estimation(connection, begin, assumed, seed, limits)
        report = {
            "records": len(records),
            "sampled_records": sampled,
            "seed": seed,
            "splink": splink.__version__,
            "splink_blockings": sessions,
            **counted,
            "expected_matches": round(found.matches),
            "turns": found.turns,
            "levels_as_assumed": found.thin,
            "filled": _filled(connection, records),
        }
    model = replace(found.model, report=report)
    return replace(model, version=_version(model))


def assumed_model(frequencies: Mapping[str, TermFrequencies]) -> MatchModel:
    """The model that holds before anything is learned but how common values are."""
    return MatchModel(
        version="assumed",
        prior=_ASSUMED_PRIOR,
        comparisons=COMPARISONS,
        blocking=BLOCKING,
        vetoes=VETOES,
        doubts=DOUBTS,
        term_frequencies=frequencies,
    )


def splink_settings(model: MatchModel) -> dict[str, Any]:
    """The model as Splink reads it; `record_id` is the key of its input."""
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "record_id",
        "probability_two_random_records_match": model.prior,
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": True,
        "blocking_rules_to_generate_predictions": [
            f"({_of_side(rule.key, 'l')}) = ({_of_side(rule.key, 'r')})" for rule in model.blocking
        ],
        "comparisons": [_splink_comparison(comparison) for comparison in model.comparisons],
    }


def _splink_comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "output_column_name": comparison.name,
        "comparison_levels": [_splink_level(level) for level in comparison.levels],
    }


def _splink_level(level: Level) -> dict[str, Any]:
    content: dict[str, Any] = {
        "sql_condition": "ELSE" if level.condition == ELSE else level.condition,
        "label_for_charts": level.label,
    }
    if level.is_null:
        return content | {"is_null_level": True}
    content |= {"m_probability": level.m, "u_probability": level.u}
    if level.tf_column is not None:
        content |= {
            "tf_adjustment_column": level.tf_column,
            "tf_adjustment_weight": level.tf_weight,
            "tf_minimum_u_value": level.tf_minimum,
            # A level's own u is what a frequency stands for; Splink would look for another's.
            "disable_tf_exact_match_detection": True,
        }
    return content


def _of_side(key: str, side: str) -> str:
    """A blocking key with its columns qualified."""
    return re.sub(rf"\b({'|'.join(MATCH_COLUMNS)})\b", rf"{side}.\1", key)


# --- Records --------------------------------------------------------------------------------------


def _load(
    connection: duckdb.DuckDBPyConnection, records: pa.Table, seed: int, limits: Limits
) -> int:
    """Table `records`: the sample; view `everyone`: all. Returns the rows of the sample."""
    connection.register("incoming", records)
    columns = ", ".join(
        column if column in records.column_names else f"null::{_type(column)} as {column}"
        for column in MATCH_COLUMNS
    )
    connection.execute(f"create temp view everyone as select record_id, {columns} from incoming")
    connection.execute(
        f"""
        create table sample as
        select row_number() over (order by record_id) as number, *
        from (
            select * from everyone
            order by hash(record_id || '|{seed}'), record_id limit {limits.records}
        )
        order by record_id
        """
    )
    return min(len(records), limits.records)


def _type(column: str) -> str:
    return "integer" if column == "birth_days" else "varchar"


def _filled(connection: duckdb.DuckDBPyConnection, records: pa.Table) -> dict[str, float]:
    counts = ", ".join(f"count({column})" for column in MATCH_COLUMNS)
    row = connection.sql(f"select {counts} from everyone").fetchall()[0]
    return {
        column: round(count / len(records), 3)
        for column, count in zip(MATCH_COLUMNS, row, strict=True)
    }


def _term_frequencies(
    connection: duckdb.DuckDBPyConnection, limits: Limits
) -> dict[str, TermFrequencies]:
    asked = {level.tf_column for item in COMPARISONS for level in item.levels} - {None}
    return {
        column: _frequencies_of(connection, column, limits)
        for column in MATCH_COLUMNS
        if column in asked
    }


def _frequencies_of(
    connection: duckdb.DuckDBPyConnection, column: str, limits: Limits
) -> TermFrequencies:
    """Shares of the common values; all others get how often two people share one of them."""
    counts = connection.sql(
        f"select {column}, count(*), count(distinct birth_date) from everyone"
        f" where {column} is not null group by all order by count(*) desc, {column}"
    ).fetchall()
    total = sum(count for _, count, _ in counts)
    dated = connection.sql("select count(birth_date) > 0 from everyone").fetchall()[0][0]
    people = limits.value_people if dated and column != "city" else 0
    listed = {
        value: _rounded(count / total)
        for value, count, dates in counts
        if count >= limits.value_count and dates >= people
    }
    rare = [count / total for value, count, _ in counts if value not in listed]
    return TermFrequencies(_shared_by_two(connection, column, listed, rare), listed)


def _shared_by_two(
    connection: duckdb.DuckDBPyConnection,
    column: str,
    listed: Mapping[str, float],
    rare: Sequence[float],
) -> float:
    """Of the records with a value that is not listed, how often a second person has it too.

    The records of one person share it as well; two people are told by their birth dates, which
    agree in less than two of year, month and day. Where these are unknown, a third of what records
    share is taken.
    """
    if not rare:
        return _rounded(1 / max(len(listed), 1))
    by_records = sum(share * share for share in rare) / sum(rare)
    connection.register("listed", pa.table({"value": pa.array(listed, pa.string())}))
    parts = ("1, 4", "6, 2", "9, 2")
    year, month, day = (f"substr(birth_date, {part})" for part in parts)
    pairs, alike, again, records, known = connection.sql(
        f"""
        with dated as (
            select {column} as value, birth_date from everyone
            where {column} is not null and birth_date is not null
        ),
        rare as (select * from dated anti join listed using (value)),
        by_value as (select count(*) as n from rare group by value),
        by_two as (
            select count(*) as n from rare group by value, {year}, {month}
            union all select count(*) from rare group by value, {year}, {day}
            union all select count(*) from rare group by value, {month}, {day}
        ),
        by_date as (select count(*) as n from rare group by value, birth_date)
        select
            (select coalesce(sum(n * (n - 1)), 0)::double from by_value),
            (select coalesce(sum(n * (n - 1)), 0)::double from by_two),
            (select coalesce(sum(n * (n - 1)), 0)::double from by_date),
            (select count(*) from rare),
            (select count(*) from dated)
        """
    ).fetchall()[0]
    connection.unregister("listed")
    if records < _LEAST_DATED:
        return _rounded(by_records / 3)
    return _rounded(min(max(pairs - alike + 2 * again, 1.0) / (records * known), by_records))


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _add_term_frequencies(connection: duckdb.DuckDBPyConnection, model: MatchModel) -> None:
    """Add a column tf_<column> to the sample, as match records have it."""
    for column, frequencies in model.term_frequencies.items():
        connection.register(
            "listed",
            pa.table(
                {
                    "value": pa.array(frequencies.values.keys(), pa.string()),
                    "share": pa.array(frequencies.values.values(), pa.float64()),
                }
            ),
        )
        connection.execute(
            f"""
            create or replace table sample as
            select
                sample.*,
                case when {column} is not null
                    then coalesce(share, {frequencies.default!r}) end as tf_{column}
            from sample left join listed on listed.value = {column}
            order by number
            """
        )
        connection.unregister("listed")


# --- Splink ---------------------------------------------------------------------------------------


def _by_splink(
    connection: duckdb.DuckDBPyConnection, model: MatchModel, seed: int, limits: Limits
) -> tuple[MatchModel, list[str]]:
    """What Splink makes of m and u, and the blockings that it could use."""
    plain = [
        Comparison(item.name, tuple(replace(level, tf_column=None) for level in item.levels))
        for item in model.comparisons
    ]
    settings = splink_settings(replace(model, comparisons=tuple(plain)))
    # Further turns drive a level that a blocking never reaches to 0, which Splink refuses.
    settings["max_iterations"] = 10
    columns = ", ".join(("record_id", *MATCH_COLUMNS))
    connection.execute(f"create temp view splink_input as select {columns} from sample")
    with _quiet():
        api = DuckDBAPI(connection)
        linker = Linker(api.register("splink_input"), SettingsCreator(**settings), log_level=None)
        linker.training.estimate_u_using_random_sampling(
            max_pairs=limits.random_pairs, seed=seed, min_count_per_level=None
        )
        used: list[str] = []
        for blocking in _EM_BLOCKINGS:
            if _pairs_sharing(connection, blocking) >= _LEAST_EM_PAIRS:
                linker.training.estimate_parameters_using_expectation_maximisation(
                    block_on(*blocking),
                    estimate_without_term_frequencies=True,
                    max_pairs=limits.em_pairs,
                )
                used.append(" + ".join(blocking))
        learned = linker.misc.save_model_to_json()
    return _with_splink(model, learned), used


def _with_splink(model: MatchModel, learned: Mapping[str, Any]) -> MatchModel:
    """The model with Splink's numbers, half way from its own: where to begin."""
    by_name = {item["output_column_name"]: item for item in learned["comparisons"]}
    return replace(
        model,
        comparisons=tuple(
            Comparison(
                item.name,
                tuple(
                    level if level.is_null else _half_way(level, found)
                    for level, found in zip(
                        item.levels, by_name[item.name]["comparison_levels"], strict=True
                    )
                ),
            )
            for item in model.comparisons
        ),
    )


def _half_way(level: Level, found: Mapping[str, Any]) -> Level:
    m, u = found.get("m_probability"), found.get("u_probability")
    return replace(
        level,
        m=level.m if m is None or level.m is None else (level.m + m) / 2,
        u=level.u if u is None or level.u is None else (level.u + u) / 2,
    )


def _pairs_sharing(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> int:
    known = " and ".join(f"{column} is not null" for column in columns)
    return connection.sql(
        f"""
        select coalesce(sum(n * (n - 1) // 2), 0)::bigint
        from (select count(*) as n from sample where {known} group by {", ".join(columns)})
        """
    ).fetchall()[0][0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Splink tells its progress and every number; here the report does."""
    logger = logging.getLogger("splink")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


# --- Pairs ----------------------------------------------------------------------------------------


def _by_estimation(
    connection: duckdb.DuckDBPyConnection,
    begin: MatchModel,
    assumed: MatchModel,
    seed: int,
    limits: Limits,
) -> tuple[Estimate, dict[str, int]]:
    _make_candidates(connection, begin, limits)
    _make_random_pairs(connection, seed, limits)
    records = connection.sql("select count(*) from sample").fetchall()[0][0]
    pairs = records * (records - 1) / 2
    candidates = _patterns(connection, begin, "candidates")
    others = _patterns(connection, begin, "random_pairs")
    found = estimate(begin, assumed, candidates, others, pairs)
    return found, {
        "candidate_pairs": int(candidates.counts.sum()),
        "random_pairs": int(others.counts.sum()),
    }


def _make_candidates(
    connection: duckdb.DuckDBPyConnection, model: MatchModel, limits: Limits
) -> None:
    keys = " union all ".join(
        f"select {place} as rule, {_cap(rule.max_records, limits)} as cap, number,"
        f" hash({rule.key}) as key from sample where ({rule.key}) is not null"
        for place, rule in enumerate(model.blocking)
    )
    connection.execute(
        f"""
        create table candidates as
        with keys as materialized ({keys}),
        blocks as (
            select rule, key from keys group by all having count(*) between 2 and any_value(cap)
        ),
        members as (select keys.* from keys semi join blocks using (rule, key))
        select distinct left_side.number as l, right_side.number as r
        from members as left_side
        inner join members as right_side using (rule, key)
        where left_side.number < right_side.number
        """
    )


def _cap(own: int | None, limits: Limits) -> int:
    return min(own or limits.block_records, limits.block_records)


def _make_random_pairs(connection: duckdb.DuckDBPyConnection, seed: int, limits: Limits) -> None:
    """All pairs of some records, but for the candidates."""
    size = int((2 * limits.random_pairs) ** 0.5) + 1
    connection.execute(
        f"""
        create table random_pairs as
        with drawn as (
            select number from sample
            order by hash(record_id || '|pairs|{seed}'), record_id limit {size}
        )
        select left_side.number as l, right_side.number as r
        from drawn as left_side
        inner join drawn as right_side on left_side.number < right_side.number
        anti join candidates
            on candidates.l = left_side.number and candidates.r = right_side.number
        """
    )


def _patterns(connection: duckdb.DuckDBPyConnection, model: MatchModel, pairs: str) -> Patterns:
    """The pairs of a table, counted by their levels and, to half a bit, the rarity of values."""
    tf_columns = [f"tf_{column}" for column in model.tf_columns]
    sides = ", ".join(
        f"{side}_side.{column} as {column}_{side[0]}"
        for side in ("left", "right")
        for column in (*MATCH_COLUMNS, *tf_columns)
    )
    gammas = ", ".join(
        f"{_gamma_sql(comparison)} as gamma_{comparison.name}" for comparison in model.comparisons
    )
    frequencies = "".join(f", {column}_l, {column}_r" for column in tf_columns)
    levels = [f"gamma_{comparison.name}" for comparison in model.comparisons]
    counted = connection.sql(
        f"""
        with compared as (
            select {sides} from {pairs}
            inner join sample as left_side on left_side.number = {pairs}.l
            inner join sample as right_side on right_side.number = {pairs}.r
        ),
        judged as (select {gammas} {frequencies} from compared)
        select {", ".join(levels)}, cast(round(2 * ({_rarity_sql(model)})) as integer) as rarity,
            count(*) as pairs
        from judged group by all order by all
        """
    ).fetchnumpy()
    numbers = np.column_stack([np.asarray(counted[level], dtype=np.int64) for level in levels])
    return Patterns(
        levels=numbers,
        rarity=np.asarray(counted["rarity"], dtype=np.float64) / 2,
        counts=np.asarray(counted["pairs"], dtype=np.float64),
        refused=_refused(connection, levels, numbers),
    )


def _gamma_sql(comparison: Comparison) -> str:
    branches = " ".join(
        f"when {level.condition} then {number}"
        for number, level in comparison.numbered()
        if level.condition != ELSE
    )
    return f"case {branches} else 0 end"


def _rarity_sql(model: MatchModel) -> str:
    parts = ["0"]
    for comparison in model.comparisons:
        parts.extend(
            f"case when gamma_{comparison.name} = {number} then -{level.tf_weight!r} * log2("
            f"greatest(tf_{level.tf_column}_l, tf_{level.tf_column}_r, {level.tf_minimum!r}))"
            " else 0 end"
            for number, level in comparison.numbered()
            if level.tf_column is not None
        )
    return " + ".join(parts)


def _refused(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], levels: np.ndarray
) -> np.ndarray:
    """Which patterns training takes for two people's."""
    if not len(levels):
        return np.zeros(0, dtype=bool)
    connection.register(
        "pattern_levels",
        pa.table({"place": np.arange(len(levels))} | dict(zip(names, levels.T, strict=True))),
    )
    condition = " or ".join(f"({veto.condition})" for veto in _RELATIVES)
    refused = connection.sql(
        f"select {condition} as refused from pattern_levels order by place"
    ).fetchnumpy()["refused"]
    connection.unregister("pattern_levels")
    return np.asarray(refused, dtype=bool)


def _version(model: MatchModel) -> str:
    """A name for the content: the same numbers have the same version."""
    content = replace(model, version="m", report={}, trained_at=None).dump()
    return f"m-{hashlib.sha256(content).hexdigest()[:12]}"
