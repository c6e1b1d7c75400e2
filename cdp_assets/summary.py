"""What `cdp demo` and `cdp summary` print of the published version.

Here: reading the published tables and laying out text. Not here: computing anything a table
does not hold already, except the comparison with the sample's ground truth.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

import duckdb

from cdp_assets.checks.conservation import Conservation, conservation_sql
from cdp_assets.identity.evaluate import evaluate_sample
from cdp_assets.naming import CHANNELS
from cdp_assets.resources.build import build_duckdb
from cdp_assets.settings import Settings
from cdp_assets.sources.contracts import load_contracts


def print_summary(settings: Settings) -> None:
    """Print where every record went, who was found, how well, and one profile explained."""
    with build_duckdb(settings).read_published() as connection:
        lines = [
            *_sources(connection),
            *_profiles(connection),
            *_quality(connection, settings),
            *_one_profile(connection),
        ]
    lines += ["", "Open the UI with `make dev` (lineage, runs, checks): http://127.0.0.1:3000"]
    sys.stdout.write("\n".join(lines) + "\n")


def _sources(connection: duckdb.DuckDBPyConnection) -> Iterable[str]:
    cursor = connection.execute(conservation_sql(list(load_contracts())))
    names = [column[0] for column in cursor.description or []]
    rows = [Conservation(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
    rows.sort(key=lambda row: (CHANNELS.index(row.source), row.entity))
    yield ""
    yield "Records: in = loaded + duplicate + suppressed + quarantined"
    yield _columns("source", "in", "loaded", "duplicate", "suppressed", "quarantined", "")
    for row in rows:
        verdict = "adds up" if not row.faults() else "; ".join(row.faults())
        yield _columns(
            f"{row.source}.{row.entity}",
            row.records_in,
            row.loaded,
            row.duplicate,
            row.suppressed,
            row.quarantined,
            verdict,
        )


def _profiles(connection: duckdb.DuckDBPyConnection) -> Iterable[str]:
    counts = dict(
        connection.execute(
            "select profile_type, count(*) from profile.customer_profiles group by all"
        ).fetchall()
    )
    suppressed, refused = connection.execute(
        "select (select count(*) from identity.suppressed_identifiers),"
        " (select count(*) from identity.refused_edges)"
    ).fetchone() or (0, 0)
    yield ""
    yield (
        f"Profiles: {counts.get('known', 0):,} known customers, "
        f"{counts.get('anonymous', 0):,} anonymous visitors"
    )
    yield (
        f"  {suppressed:,} identifier values suppressed (junk, shared too widely), "
        f"{refused:,} links refused; each is a row with its reason"
    )


def _quality(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Iterable[str]:
    truth = settings.sample_dir / "truth.parquet"
    if not truth.exists():
        return
    found = evaluate_sample(connection, truth)
    yield ""
    yield (
        f"Identity against the ground truth: precision {found.precision:.4f}, "
        f"recall {found.recall:.4f}, F1 {found.f1:.4f} "
        f"(pairs of {found.records:,} records after clustering)"
    )


def _one_profile(connection: duckdb.DuckDBPyConnection) -> Iterable[str]:
    # The best connected customer, chosen by a stable rule.
    chosen = connection.execute(
        """
        select customer_id from profile.customer_profiles
        where profile_type = 'known'
        order by source_count desc, record_count desc, customer_id
        limit 1
        """
    ).fetchone()
    if chosen is None:
        return
    values = connection.execute(
        """
        select attribute, value, source, record_id, observed_at, rule
        from profile.customer_attributes where customer_id = ? order by attribute
        """,
        chosen,
    ).fetchall()
    yield ""
    yield f"One profile explained: {chosen[0]}"
    for attribute, value, source, record_id, observed_at, rule in values:
        shown = _readable(attribute, value)
        yield (
            f"  {attribute:<12} {shown:<40} from {source:<15} {rule:<16} "
            f"{observed_at:%Y-%m-%d}  {record_id}"
        )


def _readable(attribute: str, value: str) -> str:
    if attribute == "address":
        value = ", ".join(part for part in json.loads(value).values() if part)
    return value if len(value) <= 38 else f"{value[:37]}…"


def _columns(name: str, *cells: object) -> str:
    *numbers, verdict = cells
    return f"  {name:<26}" + "".join(_cell(number) for number in numbers) + f"  {verdict}"


def _cell(value: object) -> str:
    return f"{value:>13,}" if isinstance(value, int) else f"{value:>13}"
