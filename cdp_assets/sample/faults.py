"""What goes wrong between a sender and the landing folder.

Here: whole objects delivered twice under another key, and one broken object of each usual kind.
A broken object holds one broken record (or is broken as a whole); its good records have all been
delivered before, so whatever a reader saves of it, nothing is lost and nothing is new.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cdp_assets.sample.landing import iso_day
from cdp_assets.sample.size import SampleSize

_REDELIVERED_EVERY = 23
_GOOD_RECORDS = 3


@dataclass(frozen=True)
class Broken:
    """A broken object: where it lands, its bytes, its repeated good rows and its broken records."""

    key: str
    data: bytes
    rows: int
    broken: int


def redeliveries(keys: list[str], last_day: str) -> Iterator[tuple[str, str]]:
    """Which objects come again: (key, the key it comes again under), on the same landing day.

    Args:
        keys: landed objects, sorted.
        last_day: YYYY-MM-DD; kept free of repetitions so that a demo ends tidily.
    """
    for key in keys[::_REDELIVERED_EVERY]:
        folder, _, name = key.rpartition("/")
        if not folder.endswith(last_day):
            yield key, f"{folder}/redelivered-{name}"


def broken_objects(destination: Path, size: SampleSize) -> Iterator[Broken]:
    """One broken object of each usual kind, made from what has landed under `destination`."""
    days = [iso_day(size.first_epoch_day + day) for day in range(size.days)]
    crm, pos, web, mobile, email = (
        _first_object(destination, source, entity, days[1])
        for source, entity in (
            ("crm", "contacts"),
            ("pos", "receipts"),
            ("web", "events"),
            ("mobile", "events"),
            ("email", "events"),
        )
    )
    table = _head(crm)
    ragged = _written([*table, [*table[1][:3]]])
    yield Broken(f"crm/contacts/dt={days[2]}/Contact-manual-fix.csv", ragged, len(table) - 1, 1)
    header = _written(table[:1])
    yield Broken(f"crm/contacts/dt={days[3]}/Contact-delta-empty.csv", header, 0, 0)
    receipts = _head(pos)
    yield Broken(
        f"pos/receipts/dt={days[2]}/receipts-till-crash.csv",
        _written(receipts) + b'"R001-999-00000001","S001,R1\n',
        len(receipts) - 1,
        1,
    )
    cut = web[: len(web) * 3 // 5]
    yield Broken(f"web/events/dt={days[2]}/web-events-truncated.gz", cut, 0, 1)
    lines = gzip.decompress(mobile).splitlines(keepends=True)[:_GOOD_RECORDS]
    half = lines[0][: len(lines[0]) // 2] + b"\n"
    malformed = gzip.compress(b"".join([lines[0], half, *lines[1:]]), mtime=0)
    yield Broken(f"mobile/events/dt={days[2]}/mobile-events-cut-line.gz", malformed, len(lines), 1)
    mails = email.splitlines(keepends=True)[:_GOOD_RECORDS]
    badly_timed = json.loads(mails[0])
    badly_timed["mail"] |= {"timestamp": "2026-13-45T99:99:99.000Z", "messageId": "0100-bad-clock"}
    bad = json.dumps(badly_timed, ensure_ascii=False).encode() + b"\n"
    yield Broken(
        f"email/events/dt={days[2]}/ses-events-bad-clock", b"".join([bad, *mails]), len(mails), 1
    )
    yield Broken(f"contact_center/contacts/dt={days[3]}/connect-contacts-empty", b"", 0, 0)
    yield Broken("crm/notes.txt", b"Exports paused during the upgrade, back on Monday.\n", 0, 0)


def _first_object(destination: Path, source: str, entity: str, day: str) -> bytes:
    return min((destination / source / entity / f"dt={day}").iterdir()).read_bytes()


def _head(data: bytes) -> list[list[str]]:
    reader = csv.reader(io.StringIO(data.decode(), newline=""))
    return [record for record, _ in zip(reader, range(_GOOD_RECORDS + 1), strict=False)]


def _written(table: list[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(table)
    return out.getvalue().encode()
