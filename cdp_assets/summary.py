"""What `cdp demo` and `cdp summary` print of the published version.

Here: reading the published tables and laying out text. Not here: computing anything a table
does not hold already, except the comparison with the sample's ground truth.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

from cdp_assets.checks.conservation import conservation
from cdp_assets.identity.evaluate import evaluate_sample
from cdp_assets.naming import CHANNELS
from cdp_assets.printing import printable
from cdp_assets.resources.build import build_warehouse
from cdp_assets.resources.warehouse import Reader
from cdp_assets.settings import Settings
from cdp_assets.sources.contracts import load_contracts


def print_summary(settings: Settings, *, show_values: bool = False) -> None:
    """Print where every record went, who was found, how well, and one profile explained."""
    lines = [printable(line) for line in summary_lines(settings, show_values=show_values)]
    lines += ["", "Open the UI with `make dev` (lineage, runs, checks): http://127.0.0.1:3000"]
    sys.stdout.write("\n".join(lines) + "\n")


def summary_lines(settings: Settings, *, show_values: bool = False) -> list[str]:
    """The summary of what is published; with values of a customer only if asked for."""
    with build_warehouse(settings).published() as reader:
        return [
            *_sources(reader),
            *_profiles(reader),
            *_quality(reader, settings),
            *_one_profile(reader, show_values=show_values),
        ]


def _sources(reader: Reader) -> Iterable[str]:
    counted = conservation(reader, list(load_contracts())).values()
    rows = sorted(counted, key=lambda row: (CHANNELS.index(row.source), row.entity))
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


def _profiles(reader: Reader) -> Iterable[str]:
    [counts] = reader.query(
        """
        select
            (select count(*) from profile.customer_profiles where profile_type = 'known') as known,
            (
                select count(*) from profile.customer_profiles where profile_type = 'anonymous'
            ) as anonymous,
            (select count(*) from identity.suppressed_identifiers) as suppressed,
            (select count(*) from identity.refused_edges) as refused
        """
    ).to_pylist()
    yield ""
    yield (
        f"Profiles: {counts['known']:,} known customers, {counts['anonymous']:,} anonymous visitors"
    )
    yield (
        f"  {counts['suppressed']:,} identifier values suppressed (junk, shared too widely), "
        f"{counts['refused']:,} links refused; each is a row with its reason"
    )


def _quality(reader: Reader, settings: Settings) -> Iterable[str]:
    truth = settings.sample_dir / "truth.parquet"
    if not truth.exists():
        return
    found = evaluate_sample(reader, truth)
    yield ""
    yield (
        f"Identity against the ground truth: precision {found.precision:.4f}, "
        f"recall {found.recall:.4f}, F1 {found.f1:.4f} "
        f"(pairs of {found.records:,} records after clustering)"
    )


def _one_profile(reader: Reader, *, show_values: bool) -> Iterable[str]:
    # The best connected customer, chosen by a stable rule.
    values = reader.query(
        """
        with chosen as (
            select customer_id from profile.customer_profiles
            where profile_type = 'known'
            order by source_count desc, record_count desc, customer_id
            limit 1
        )
        select
            chosen.customer_id, attributes.attribute, attributes.value, attributes.source,
            attributes.record_id, attributes.observed_at, attributes.rule
        from chosen
        inner join profile.customer_attributes as attributes
            on chosen.customer_id = attributes.customer_id
        order by attributes.attribute
        """
    ).to_pylist()
    if not values:
        return
    yield ""
    yield f"One profile explained: {values[0]['customer_id']}"
    for row in values:
        shown = _readable(row["attribute"], row["value"]) if show_values else "(--show-values)"
        yield (
            f"  {row['attribute']:<12} {shown:<40} from {row['source']:<15} {row['rule']:<16} "
            f"{row['observed_at']:%Y-%m-%d}  {row['record_id']}"
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
