"""What the commands `cdp explain` and `cdp review` read, and the lines that they print.

Here: putting the parts together. Not here: the parts (`references.py`, `explain.py`, `report.py`,
`review.py`, `decisions.py`). Nothing here logs: what a person typed may be personal data.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa

from cdp_assets.errors import PlatformError
from cdp_assets.identity.decisions import (
    naive_utc,
    read_decisions,
    unpublished_decisions,
    write_decisions,
)
from cdp_assets.identity.explain import changes_since, explain, owners_at
from cdp_assets.identity.match_model import MatchModel
from cdp_assets.identity.model_files import load_model
from cdp_assets.identity.references import Reference, resolve
from cdp_assets.identity.report import (
    Values,
    evidence_lines,
    explanation_lines,
    explanation_page,
    ownership_lines,
)
from cdp_assets.identity.review import (
    Answer,
    Queue,
    decisions_of,
    read_answers,
    read_queue,
    read_values,
    without_known,
    write_queue,
)
from cdp_assets.identity.tables import DECISIONS, MATCH_MODEL
from cdp_assets.resources.build import build_object_store, build_warehouse
from cdp_assets.resources.warehouse import Reader, whole_milliseconds
from cdp_assets.settings import Settings


def explain_two(
    settings: Settings,
    first: str,
    second: str,
    *,
    as_of: str | None = None,
    page: Path | None = None,
    show_values: bool = False,
) -> list[str]:
    """Why two references are one customer or not, as lines; also into an HTML page if asked.

    Args:
        settings: of the tenant.
        first: a record id, a customer id or an identifier.
        second: another.
        as_of: a date or time; then the lines say whose customer each record was.
        page: where to write the HTML page.
        show_values: also show values of the records.

    Raises:
        UnknownReferenceError: one of the two is not known or means several things.
    """
    with build_warehouse(settings).published() as reader:
        left, right = resolve(reader, {"The first": first, "The second": second})
        history = _ownership(reader, [left, right], as_of)
        if history and page is None:
            return history
        explanation = explain(reader, left, right, model_in_use(reader, settings))
        records = {record for pair in explanation.evidence for record in pair}
        values = read_values(reader, records) if show_values else {}
    if page is not None:
        page.write_text(explanation_page(explanation, values, history), encoding="utf-8")
    return history or list(explanation_lines(explanation, values))


def whose(settings: Settings, reference: str, as_of: str | None) -> list[str]:
    """Whose customer the records of a reference are, or were at a time."""
    with build_warehouse(settings).published() as reader:
        [found] = resolve(reader, {"This": reference})
        lines = _ownership(reader, [found], as_of or datetime.now(UTC).isoformat())
    return [*([found.note] if found.note else []), *lines]


def queue_lines(
    settings: Settings, limit: int, *, show_values: bool = False, show_all: bool = False
) -> Iterator[str]:
    """The review queue, the most probable pair first, with its weights."""
    queue, values = _queue(settings, limit, show_values=show_values, show_all=show_all)
    for item in queue.items:
        yield f"{item.left_record_id} {item.right_record_id}"
        yield from evidence_lines(item, values)
        yield ""
    if queue.count:
        yield (
            f"{queue.count:,} pairs wait. Answer with `cdp review answer LEFT RIGHT yes|no --by "
            "WHO`, or many at once with `cdp review export FILE`."
        )
    else:
        yield "Nothing waits for an answer."
    if queue.left_out:
        yield f"{queue.left_out:,} more agree on too little to ask about; --all shows them."


def export_queue(
    settings: Settings, path: Path, *, show_values: bool = False, show_all: bool = False
) -> str:
    """Write the whole queue to a CSV file for people to fill in."""
    queue, values = _queue(settings, None, show_values=show_values, show_all=show_all)
    with path.open("w", encoding="utf-8", newline="") as handle:
        write_queue(queue.items, values, handle)
    return (
        f"{queue.count} pairs are in the file. Write yes or no into the column answer, then "
        "`cdp review import FILE --by WHO`."
    )


def import_answers(settings: Settings, path: Path, by: str) -> str:
    """Take the answers of a file."""
    return give_answers(settings, read_answers(path), by)


def give_answers(settings: Settings, answers: list[Answer], by: str) -> str:
    """Write answers into the lake as decisions; returns what happens next, as a sentence.

    Raises:
        ReviewError: an answer cannot be used; then none is written.
    """
    store = build_object_store(settings)
    with build_warehouse(settings).published() as reader:
        decisions = decisions_of(reader, answers, by, whole_milliseconds(datetime.now(UTC)))
        published = published_decisions(reader)
    known = pa.concat_tables([published, read_decisions(store)])
    new = without_known(decisions, known)
    if not new:
        return "Nothing new: every answer given is decided so already."
    key = write_decisions(store, new)
    count = f"{len(new)} decision{'s' * (len(new) > 1)}"
    return f"{count} written to {key}. The next run applies them: `cdp run`."


def unapplied(settings: Settings) -> list[str]:
    """What the next run would apply although no object is new, in words; empty for nothing.

    These are decisions in the lake, and another identity model, that the published version does
    not know.
    """
    store = build_object_store(settings)
    with build_warehouse(settings).published() as reader:
        count = unpublished_decisions(store, published_decisions(reader))
        published = published_model(reader)
    chosen = load_model(settings.identity_model, store).version
    found = [f"{count} new decision{'s' * (count > 1)} about records"] if count else []
    return found + ([] if published == chosen else [f"the identity model {chosen}"])


def published_model(reader: Reader) -> str | None:
    """The version of the identity model that a version of the warehouse scored with."""
    rows = reader.query(f"select version from {MATCH_MODEL.address}").to_pylist()
    return rows[0]["version"] if rows else None


def published_decisions(reader: Reader) -> pa.Table:
    """The decisions that a version of the warehouse knows."""
    return reader.query(f"select {DECISIONS.column_names} from {DECISIONS.address}")


def model_in_use(reader: Reader, settings: Settings) -> MatchModel | None:
    """The model that a version of the warehouse scored with; None where its file is gone.

    Weights can be shown without it, but not the names of their levels.
    """
    version = published_model(reader)
    if version is None:
        return None
    store = build_object_store(settings)
    for name in ("default", settings.identity_model, version):
        try:
            model = load_model(name, store)
        except PlatformError:
            # One of several places to look; the caller is told by the None.
            continue
        if model.version == version:
            return model
    return None


def _ownership(reader: Reader, references: list[Reference], as_of: str | None) -> list[str]:
    if as_of is None:
        return []
    at = parse_moment(as_of)
    owners = owners_at(reader, sorted({r for found in references for r in found.records}), at)
    customers = {name for owner in owners for name in (owner.then, owner.now) if name}
    return list(ownership_lines(owners, changes_since(reader, customers, at), at))


def parse_moment(text: str) -> datetime:
    """A date (its end, UTC) or an ISO 8601 time (UTC where it names no offset), naive in UTC.

    To the millisecond, as both engines keep times.

    Raises:
        PlatformError: it is neither.
    """
    try:
        if len(text) == len("2026-01-31"):
            day = date.fromisoformat(text) + timedelta(days=1)
            return datetime.combine(day, time()) - timedelta(milliseconds=1)
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise PlatformError("--as-of takes a date or an ISO 8601 time.") from error
    return whole_milliseconds(naive_utc(at))


def _queue(
    settings: Settings, limit: int | None, *, show_values: bool, show_all: bool
) -> tuple[Queue, Values]:
    """The pairs to ask about, and values if asked for."""
    waiting = read_decisions(build_object_store(settings))
    with build_warehouse(settings).published() as reader:
        model = model_in_use(reader, settings)
        queue = read_queue(reader, model, waiting, limit=limit, show_all=show_all)
        records = {item.left_record_id for item in queue.items}
        records |= {item.right_record_id for item in queue.items}
        values = read_values(reader, records) if show_values else {}
    return queue, values
