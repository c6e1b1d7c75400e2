"""Decisions of people about two records: read from `decisions/*.csv` in the lake, and kept.

must_link joins two records whatever the rules say; cannot_link keeps them apart for ever, also
over a full rebuild; withdrawn leaves the pair to the rules again. Of several decisions about one
pair the newest counts. A decision that was read once stays, even when its file goes.

Not here: what a decision does to clusters (`clusters.py`), asking people (`review.py`).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa

from cdp_assets.errors import PlatformError
from cdp_assets.identity.tables import DECISIONS
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.resources.warehouse import Warehouse, whole_milliseconds

PREFIX: Final = "decisions/"
_COLUMNS: Final = tuple(column.name for column in DECISIONS.columns)
_KINDS: Final = ("must_link", "cannot_link", "withdrawn")
SCHEMA: Final = pa.schema(
    [(name, pa.timestamp("us") if name == "decided_at" else pa.string()) for name in _COLUMNS]
)

# Of several decisions about one pair the newest counts, in SQL of both engines.
CURRENT_DECISIONS: Final = f"""
    select {", ".join(_COLUMNS)}
    from (
        select
            *,
            row_number() over (
                partition by left_record_id, right_record_id
                order by decided_at desc, decision, decided_by, note
            ) as place
        from {DECISIONS.address}
    ) as decisions
    where place = 1"""


class DecisionsError(PlatformError):
    """A decisions file cannot be used; the message names the object, the line and the column."""


@dataclass(frozen=True)
class Decision:
    """What a person decided about two records.

    Attributes:
        decision: must_link, cannot_link or withdrawn.
        left_record_id: one record.
        right_record_id: the other; the order does not matter.
        decided_by: who; kept for ever, so a staff id.
        decided_at: with its offset.
        note: why, without personal data; may be empty.
    """

    decision: str
    left_record_id: str
    right_record_id: str
    decided_by: str
    decided_at: datetime
    note: str = ""


def write_decisions(store: ObjectStore, decisions: Sequence[Decision]) -> str:
    """Put decisions into the lake, as one new file that the next run reads.

    Returns:
        The key of the file. The same decisions again give the same file.

    Raises:
        DecisionsError: one of them is no decision; then none is written.
    """
    text = io.StringIO()
    # Which ends of lines are written decides which are quoted: a CR in an id would forge a line.
    lines = csv.writer(text, lineterminator="\r\n")
    lines.writerow(_COLUMNS)
    for decision in decisions:
        values = {**vars(decision), "decided_at": decision.decided_at.isoformat()}
        lines.writerow([values[name] for name in _COLUMNS])
    content = text.getvalue().encode()
    newest = max(decision.decided_at for decision in decisions).astimezone(UTC)
    digest = hashlib.sha256(content).hexdigest()[:8]
    key = f"{PREFIX}{newest:%Y%m%dT%H%M%SZ}-{digest}.csv"
    parse_decisions(key, content)
    store.write(key, content)
    return key


def unpublished_decisions(store: ObjectStore, published: pa.Table) -> int:
    """How many decisions of the lake the published version does not know.

    Args:
        store: the lake.
        published: identity.identity_decisions of the published version.

    Raises:
        DecisionsError: see `read_decisions`.
    """
    known = {_identity_of(row) for row in published.to_pylist()}
    return len({_identity_of(row) for row in read_decisions(store).to_pylist()} - known)


def keep_decisions(warehouse: Warehouse, store: ObjectStore) -> int:
    """Add the decisions of the lake to those known; returns how many are known then."""
    read = read_decisions(store)
    warehouse.execute(
        DECISIONS.create_if_missing,
        f"""
        insert into {DECISIONS.address}
        select distinct * from incoming
        except
        select * from {DECISIONS.address}
        """,
        inputs={"incoming": read},
    )
    return warehouse.query(f"select count(*) as n from {DECISIONS.address}")["n"][0].as_py()


def read_decisions(store: ObjectStore) -> pa.Table:
    """Every decision of every CSV file below `decisions/`.

    Raises:
        DecisionsError: a file is not UTF-8 CSV with the six columns, or a line is not a decision.
    """
    keys = sorted(info.key for info in store.list(PREFIX) if info.key.endswith(".csv"))
    rows = [row for key in keys for row in parse_decisions(key, store.read(key))]
    return pa.Table.from_pylist(rows, SCHEMA)


def parse_decisions(key: str, content: bytes) -> list[dict[str, object]]:
    """The decisions of one file.

    Args:
        key: of the object, for messages.
        content: UTF-8 CSV with the header decision,left_record_id,right_record_id,decided_by,
            decided_at,note; decided_at is ISO 8601, UTC where it names no offset.

    Raises:
        DecisionsError: see `read_decisions`. The message holds no value of the file.
    """
    try:
        lines = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
        if sorted(lines.fieldnames or []) != sorted(_COLUMNS):
            raise DecisionsError(f"{key}: the header must be {','.join(_COLUMNS)}.")
        return [_decision(key, lines.line_num, line) for line in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DecisionsError(f"{key}: not readable as UTF-8 CSV.") from error


def _identity_of(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in _COLUMNS)


def _decision(key: str, line_number: int, line: dict[str, str | None]) -> dict[str, object]:
    values = {name: (line.get(name) or "").strip() for name in _COLUMNS}
    for name in ("left_record_id", "right_record_id", "decided_by", "decided_at"):
        if not values[name]:
            raise DecisionsError(f"{key}, line {line_number}: {name} is empty.")
    if values["decision"] not in _KINDS:
        raise DecisionsError(f"{key}, line {line_number}: decision takes {', '.join(_KINDS)}.")
    left, right = sorted((values["left_record_id"], values["right_record_id"]))
    if left == right:
        raise DecisionsError(f"{key}, line {line_number}: both record ids are the same.")
    return {
        **values,
        "left_record_id": left,
        "right_record_id": right,
        "decided_at": _utc(key, line_number, values["decided_at"]),
        "note": values["note"] or None,
    }


def _utc(key: str, line_number: int, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise DecisionsError(
            f"{key}, line {line_number}: decided_at is no ISO 8601 time."
        ) from error
    return whole_milliseconds(naive_utc(at))


def naive_utc(at: datetime) -> datetime:
    """A time as tables keep it: UTC, which is also taken for one that names no offset."""
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
