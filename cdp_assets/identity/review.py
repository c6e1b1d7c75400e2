"""The review queue: pairs that the model leaves to people, and how their answers become decisions.

Here: reading the queue of the published version, writing it to a file and reading it back.
Not here: what is in the band (`dbt_project/models/identity/review_queue.sql`), what a decision
does (`decisions.py`, `clusters.py`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TextIO

import pyarrow as pa

from cdp_assets.errors import PlatformError
from cdp_assets.identity.decisions import CURRENT_DECISIONS, Decision
from cdp_assets.identity.evidence import Evidence, Pair, evidence_of, ordered
from cdp_assets.identity.match_model import MatchModel
from cdp_assets.resources.warehouse import Reader

# What a reviewer answers, and the decision that it becomes.
ANSWERS: Final = {"yes": "must_link", "no": "cannot_link", "withdraw": "withdrawn"}
_FILE_COLUMNS: Final = ("left_record_id", "right_record_id", "match_probability", "match_weight")
_ANSWER_COLUMNS: Final = ("answer", "note")
# What a reviewer may see of a record, in this order.
_FIELDS: Final = (
    "first_name",
    "last_name",
    "birth_date",
    "gender",
    "email",
    "phone",
    "street",
    "city",
    "state",
    "postcode",
    "national_id",
    "loyalty_id",
)

# What a spreadsheet takes for a formula, or leaves out before it looks for one; and the apostrophe,
# so that what was put before a value can be told from what was there.
_NO_TEXT: Final = re.compile(r"[=+\-@＝＋－＠'\s\0]")


class ReviewError(PlatformError):
    """An answer or a file of answers cannot be used; the message repeats no value."""


@dataclass(frozen=True)
class Answer:
    """What somebody says of two records: yes, no or withdraw, and why."""

    pair: Pair
    answer: str
    note: str = ""


@dataclass(frozen=True)
class Queue:
    """Pairs that wait for a person.

    Attributes:
        items: the most probable first; not more than were asked for.
        count: how many wait.
        left_out: how many more are not asked about.
    """

    items: Sequence[Evidence]
    count: int
    left_out: int


def read_queue(
    reader: Reader,
    model: MatchModel | None,
    waiting: pa.Table,
    *,
    limit: int | None = None,
    show_all: bool = False,
) -> Queue:
    """The pairs that wait for a person.

    A pair for which a doubt of the model holds (names agree and nothing else does) is not asked
    about by itself: there are many of these, and few are one person.

    Left out are pairs that are one customer by other links, and pairs that somebody decided
    about, be it published or not.

    Args:
        reader: of a version of the warehouse.
        model: the one it scored with; without it levels go by number.
        waiting: decisions of the lake, as `decisions.read_decisions` gives them.
        limit: how many to give at most; None for all.
        show_all: also those that the model doubts.
    """
    doubt = _doubt(model)
    rows = reader.query(
        f"""
        with decisions as (
            select left_record_id, right_record_id from ({CURRENT_DECISIONS}) as published
            where decision <> 'withdrawn'
            union all
            select left_record_id, right_record_id from waiting
        ),
        open_pairs as (
            select
                queue.*,
                {doubt} as is_doubtful,
                {"false" if show_all else doubt} as is_left_out
            from identity.review_queue as queue
            left join identity.customer_map as a on queue.left_record_id = a.record_id
            left join identity.customer_map as b on queue.right_record_id = b.record_id
            where
                a.customer_id is distinct from b.customer_id
                and not exists (
                    select 1 from decisions
                    where
                        decisions.left_record_id = queue.left_record_id
                        and decisions.right_record_id = queue.right_record_id
                )
        ),
        placed as (
            select
                *,
                row_number() over (
                    order by is_left_out, match_weight desc, left_record_id, right_record_id
                ) as place,
                count(case when is_left_out then 1 end) over () as left_out_count,
                count(*) over () as pair_count
            from open_pairs
        )
        -- The first tells the counts, whatever it is.
        select * from placed
        where place = 1 or not is_left_out{"" if limit is None else f" and place <= {limit}"}
        order by place
        """,
        {"waiting": _pairs(_decided(waiting))},
    ).to_pylist()
    if not rows:
        return Queue((), 0, 0)
    items = [evidence_of({**row, "veto": None}, model) for row in rows if not row["is_left_out"]]
    left_out = rows[0]["left_out_count"]
    return Queue(items[:limit], rows[0]["pair_count"] - left_out, left_out)


def read_values(reader: Reader, records: Collection[str]) -> dict[str, dict[str, str]]:
    """What is known of each record, by field, as it is compared: folded and normalised."""
    if not records:
        return {}
    rows = reader.query(
        f"select record_id, {', '.join(_FIELDS)} from identity.match_records"
        " where is_current and record_id in (select record_id from wanted)",
        {"wanted": pa.table({"record_id": sorted(records)})},
    ).to_pylist()
    return {
        row["record_id"]: {name: str(row[name]) for name in _FIELDS if row[name] is not None}
        for row in rows
    }


def decisions_of(
    reader: Reader, answers: Sequence[Answer], by: str, at: datetime
) -> list[Decision]:
    """The decisions that answers are.

    Args:
        reader: of a version of the warehouse, to know the records.
        answers: of people.
        by: who answered.
        at: when, with offset.

    Raises:
        ReviewError: an answer is none, or names a record that is not there.
    """
    named = {record for answer in answers for record in answer.pair}
    rows = reader.query(
        "select record_id from identity.identity_records"
        " where record_id in (select record_id from named)",
        {"named": pa.table({"record_id": pa.array(sorted(named), pa.string())})},
    )
    known = {*rows["record_id"].to_pylist()}
    if named - known:
        raise ReviewError(f"{len(named - known)} of the record ids are not known.")
    if not by.strip():
        raise ReviewError("Say who answers: --by takes a staff id.")
    for answer in answers:
        if answer.answer not in ANSWERS:
            raise ReviewError(f"An answer is one of {', '.join(ANSWERS)}.")
        if answer.pair[0] == answer.pair[1]:
            raise ReviewError("Both record ids are the same.")
    return [
        Decision(ANSWERS[answer.answer], *ordered(*answer.pair), by.strip(), at, answer.note)
        for answer in answers
    ]


def write_queue(
    queue: Sequence[Evidence], values: Mapping[str, Mapping[str, str]], handle: TextIO
) -> None:
    """Write the queue as CSV with an empty answer and note per pair.

    Args:
        queue: from `read_queue`.
        values: by record id, for reviewers who may see them; else empty.
        handle: of a text file.
    """
    weights = [weight.field for weight in queue[0].weights] if queue else []
    fields = sorted({name for told in values.values() for name in told}, key=_place)
    # Which ends of lines are written decides which are quoted: a CR in an id would forge a line.
    lines = csv.writer(handle, lineterminator="\r\n")
    lines.writerow(
        [
            *_FILE_COLUMNS,
            *(f"weight_{name}" for name in weights),
            *(f"{side}_{name}" for name in fields for side in ("left", "right")),
            *_ANSWER_COLUMNS,
        ]
    )
    for item in queue:
        pair = (item.left_record_id, item.right_record_id)
        lines.writerow(
            [
                *pair,
                f"{item.probability:.6f}",
                f"{item.match_weight:.3f}",
                *("" if weight.is_missing else f"{weight.bits:.3f}" for weight in item.weights),
                *(_cell(values.get(record, {}).get(name)) for name in fields for record in pair),
                "",
                "",
            ]
        )


def read_answers(path: Path) -> list[Answer]:
    """The answered lines of a file that `write_queue` wrote; the empty ones wait on.

    Raises:
        ReviewError: it is no such file; the message names the line.
    """
    if not path.is_file():
        raise ReviewError("There is no such file.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            return list(_answers(csv.DictReader(handle, strict=True)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ReviewError("The file is not readable as UTF-8 CSV.") from error


def _answers(lines: csv.DictReader[str]) -> Iterator[Answer]:
    missing = {"left_record_id", "right_record_id", "answer"} - {*(lines.fieldnames or ())}
    if missing:
        raise ReviewError(f"The file has no column {', '.join(sorted(missing))}.")
    for line in lines:
        cells = {name: (line.get(name) or "").strip() for name in ("answer", "note")}
        answer = cells["answer"].lower()
        if not answer:
            continue
        if answer not in ANSWERS:
            raise ReviewError(f"Line {lines.line_num}: answer takes {', '.join(ANSWERS)}.")
        yield Answer((line["left_record_id"], line["right_record_id"]), answer, cells["note"])


def without_known(decisions: Sequence[Decision], known: pa.Table) -> list[Decision]:
    """Those decisions that say something new: the same file can be handed in twice.

    Args:
        decisions: from `decisions_of`.
        known: decisions so far, as `decisions.read_decisions` gives them.
    """
    so_far = _decided(known)
    return [
        decision
        for decision in decisions
        if so_far.get((decision.left_record_id, decision.right_record_id), "withdrawn")
        != decision.decision
    ]


def _doubt(model: MatchModel | None) -> str:
    """The doubts of the model as SQL over the gamma_* columns; the model file allow-lists them."""
    return (
        " or ".join(f"({doubt.condition})" for doubt in (model.doubts if model else ())) or "false"
    )


def _decided(decisions: pa.Table) -> dict[Pair, str]:
    """The newest decision per pair, but for withdrawn ones."""
    rows: list[dict[str, Any]] = sorted(decisions.to_pylist(), key=lambda row: row["decided_at"])
    newest = {(row["left_record_id"], row["right_record_id"]): row["decision"] for row in rows}
    return {pair: kind for pair, kind in newest.items() if kind != "withdrawn"}


def _pairs(pairs: Collection[Pair]) -> pa.Table:
    """An input: pairs of records."""
    left, right = zip(*sorted(pairs), strict=True) if pairs else ((), ())
    return pa.table(
        {
            "left_record_id": pa.array(left, pa.string()),
            "right_record_id": pa.array(right, pa.string()),
        }
    )


def _place(field: str) -> int:
    return _FIELDS.index(field)


def _cell(value: str | None) -> str:
    """A value that a spreadsheet takes for text (OWASP ASVS 5.0, 1.2.10).

    Without its first apostrophe it is the value again: `'+447700900123` is a number to call.
    """
    return f"'{value}" if value and _NO_TEXT.match(value) else value or ""
