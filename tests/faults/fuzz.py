"""Broken objects without end: sound ones, mutated, and what must hold of every one of them.

`python -m tests.faults.fuzz --seconds 60` runs until the time is up or something does not hold;
then it prints the target, the seed and the bytes. `test_parsers_fuzz.py` lets Hypothesis drive the
same mutations. Not here: faults by name, with what a user must see (`tests/unit/sources`).
"""

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import random
import resource
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import pyarrow.parquet as pq

from cdp_assets.settings import Limits
from cdp_assets.sources.contracts import Contract, load_contracts
from cdp_assets.sources.parse import read_chunks
from cdp_assets.sources.refusal import RULES, ObjectRefused, Refusal
from cdp_assets.sources.validate import Judge, Session
from tests.unit.sources.conftest import (
    DAY,
    contact_record,
    crm_csv,
    crm_row,
    event,
    json_lines,
    parquet,
)
from tests.unit.sources.test_file_faults import lines as receipt_lines

# Small, so that what takes an object of gigabytes happens in one of kilobytes.
LIMITS: Final = Limits(
    object_bytes=1 << 20, record_bytes=2_000, nesting=8, chunk_bytes=700, future_skew_hours=24
)
_ENDINGS: Final = (b"", b"\n", b"\r\n", b"\n\n", b" ")
_TOKENS: Final = (
    *(b'"', b'""', b",", b";", b"\n", b"\r", b"\r\n", b"\t", b"\0", b"\\", b"\\u0000", b"'"),
    *(b"{", b"}", b"[", b"]", b"}{", b'{"', b'":', b"null", b"NaN", b"-Infinity", b"1e999"),
    *(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", "\u202e".encode()),
    *("\U0001f600".encode(), b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"=cmd|' /C calc'!A0"),
    *(b'x"; drop table chunk; --', b"{{ 1 }}", b"$(rm)", b"0001-01-01T00:00:00Z", b"9" * 40),
    *(b"[" * 40, b"a" * 2_500, b'"a":1,"a":2,', b"1970-01-01", b"4.15555E+09"),
)


class PropertyError(AssertionError):
    """Something that must hold of every object does not hold of this one."""


@dataclass(frozen=True)
class Outcome:
    """What became of one object.

    Attributes:
        refused: the rule that refused it whole, or None.
        loaded: the good records: line and row hash.
        broken: the refused records: line and rule.
        values: single values that were refused, whose records are loaded.
    """

    refused: str | None
    loaded: tuple[tuple[int, str], ...] = ()
    broken: tuple[tuple[int, str], ...] = ()
    values: int = 0


@dataclass(frozen=True)
class Target:
    """One format that is attacked.

    Attributes:
        contract: of its objects.
        sound: an object without a fault, as plain bytes.
        is_gzip: whether objects are stored compressed.
    """

    contract: Contract
    sound: bytes
    is_gzip: bool = False

    def stored(self, dice: random.Random) -> bytes:
        """An object with some faults, before or after its compression."""
        content = self.sound + dice.choice(_ENDINGS)
        if not self.is_gzip:
            return mutated(content, dice)
        if dice.random() < 0.5:
            return mutated(gzip.compress(content, mtime=0), dice)
        return gzip.compress(mutated(content, dice), mtime=0)


def targets() -> dict[str, Target]:
    """Every format that there is a reader for."""
    contracts = load_contracts()
    web = contracts["web", "events"]
    plain = replace(web, format=replace(web.format, compression="none"))
    crm, center = contracts["crm", "contacts"], contracts["contact_center", "contacts"]
    dialect = {"encoding": "latin-1", "delimiter": ";", "quote": "'"}
    latin = replace(crm, format=replace(crm.format, **dialect))
    wide = replace(crm, format=replace(crm.format, encoding="utf-16"))
    receipts = contracts["pos", "receipt_lines"]
    table = crm_csv(*(crm_row(n, LastName=f'"O""Hara, {n}"') for n in range(12)))
    events = json_lines(*(event(n, userId=f"ü{n}", properties={"n": n}) for n in range(12)))
    return {
        "csv": Target(crm, table),
        "csv_latin": Target(latin, _latin_table()),
        "csv_utf16": Target(wide, table.decode().encode("utf-16")),
        "json_lines": Target(plain, events),
        "json_lines_gzip": Target(web, events, is_gzip=True),
        "json_joined": Target(center, "".join(contact_record(n) for n in range(12)).encode()),
        "parquet": Target(receipts, parquet(receipt_lines(9))),
    }


def _latin_table() -> bytes:
    """A table as an older system might write it."""
    rows = (crm_row(n, LastName=f"'O''Hara{n};é'") for n in range(12))
    return crm_csv(*rows).replace(b",", b";").decode().encode("latin-1")


def mutated(content: bytes, dice: random.Random) -> bytes:
    """The same bytes with one to six faults."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        dice.choice(_MUTATIONS)(data, dice)
    return bytes(data)


def _place(data: bytearray, dice: random.Random) -> int:
    return dice.randint(0, len(data))


def _flip(data: bytearray, dice: random.Random) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _overwrite(data: bytearray, dice: random.Random) -> None:
    if data:
        data[dice.randrange(len(data))] = dice.randrange(256)


def _insert(data: bytearray, dice: random.Random) -> None:
    at = _place(data, dice)
    data[at:at] = dice.choice(_TOKENS)


def _remove(data: bytearray, dice: random.Random) -> None:
    at = _place(data, dice)
    del data[at : at + dice.choice((1, 2, 7, 100))]


def _repeat(data: bytearray, dice: random.Random) -> None:
    at = _place(data, dice)
    data[at:at] = data[at : at + dice.choice((1, 9, 300))] * dice.choice((1, 2, 20))


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[_place(data, dice) :]


def _move(data: bytearray, dice: random.Random) -> None:
    start = _place(data, dice)
    piece = bytes(data[start : start + 50])
    at = _place(data, dice)
    data[at:at] = piece


_MUTATIONS: Final[tuple[Callable[[bytearray, random.Random], None], ...]] = (
    *(_flip, _overwrite, _insert, _insert, _insert, _remove, _repeat, _cut, _move),
)


def read(target: Target, stored: bytes, session: Session, limits: Limits = LIMITS) -> Outcome:
    """Read and judge one object as an extract does, without writing anything.

    Raises:
        PropertyError: records are not accounted for, or a refusal does not say what it must.
    """
    loaded: list[tuple[int, str]] = []
    broken: list[tuple[int, str]] = []
    values = 0
    try:
        layout, chunks = read_chunks(io.BytesIO(stored), target.contract, limits)
        judge = Judge(target.contract, layout, DAY, limits)
        for chunk in chunks:
            refusals = list(chunk.refusals)
            came_in = len(chunk.rows) + len(refusals)
            here: list[tuple[int, str]] = []
            if len(chunk.rows):
                judged = judge.judge(session, chunk)
                refusals += judged.refusals
                here = list(zip(*(judged.rows[c].to_pylist() for c in _KEPT), strict=True))
            of_records = [refusal for refusal in refusals if refusal.scope == "record"]
            if came_in != len(here) + len(of_records):
                raise PropertyError(f"{came_in} records in, {len(here)} + {len(of_records)} out")
            for refusal in refusals:
                _check_refusal(refusal)
            loaded += here
            broken += [(refusal.line, refusal.rule) for refusal in of_records]
            values += len(refusals) - len(of_records)
    except ObjectRefused as refused:
        _check_refusal(Refusal(refused.line or 1, refused.rule, "", refused.column))
        return Outcome(refused.rule)
    return Outcome(None, tuple(sorted(loaded)), tuple(sorted(broken)), values)


_KEPT: Final = ("_line", "_row_hash")


def _check_refusal(refusal: Refusal) -> None:
    if refusal.rule not in RULES or refusal.line < 1:
        raise PropertyError(f"{refusal.rule!r} at {refusal.line}")
    for text in (refusal.payload, refusal.column or "", refusal.detail):
        text.encode()
    if "\0" in refusal.payload:
        raise PropertyError("a payload with NUL")


def check(target: Target, stored: bytes, session: Session) -> Outcome:
    """Read an object twice and hold it against every property.

    Raises:
        PropertyError: one does not hold.
    """
    outcome = read(target, stored, session)
    if outcome != read(target, stored, session):
        raise PropertyError("a second reading gave something else")
    file_format = target.contract.format
    if outcome.refused is None and (file_format.kind, file_format.framing) == ("json", "lines"):
        plain = _unzipped(stored) if target.is_gzip else stored
        _check_lines(target, plain, outcome)
    if outcome.refused is None and file_format.kind == "parquet" and stored:
        rows = pq.ParquetFile(io.BytesIO(stored)).metadata.num_rows
        if rows != len(outcome.loaded) + len(outcome.broken):
            raise PropertyError(f"{rows} rows in the file")
    return outcome


def _check_lines(target: Target, plain: bytes, outcome: Outcome) -> None:
    """Every line that is not blank is loaded or refused, and those without a fault are loaded."""
    lines = plain.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    named = {number for number, line in enumerate(lines, start=1) if line.strip(b" \t\r\n\v\f")}
    told = [line for line, _ in (*outcome.loaded, *outcome.broken)]
    if sorted(told) != sorted(named):
        raise PropertyError(f"lines {sorted(named ^ set(told))} are not accounted for, or twice")
    sound = set(target.sound.splitlines())
    kept = {line for line, _ in outcome.loaded}
    lost = {number for number in named if lines[number - 1].strip(b"\r") in sound} - kept
    if lost:
        raise PropertyError(f"the sound lines {sorted(lost)} are not loaded")


def _unzipped(stored: bytes) -> bytes:
    """Every member of a sound stream, without the zeros that may follow it."""
    plain, rest = b"", stored
    while rest := rest.lstrip(b"\0") if plain or rest is not stored else rest:
        member = zlib.decompressobj(wbits=31)
        plain += member.decompress(rest)
        rest = member.unused_data
    return plain


def runs(seed: int, names: list[str]) -> Iterator[tuple[str, int]]:
    """Targets in turn, each with a seed of its own."""
    return zip(itertools.cycle(names), itertools.count(seed), strict=False)


def main() -> None:
    """Run until the time is up; a property that does not hold ends it with exit code 1."""
    parser = argparse.ArgumentParser(description="Mutate sound objects and read them.")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(targets()))
    given = parser.parse_args()
    print(fuzz(given.seconds, given.seed, [given.only] if given.only else None))


def fuzz(seconds: float, seed: int, only: list[str] | None = None) -> str:
    """Mutate and read until the time is up; what was done, in words.

    Raises:
        PropertyError: naming the target, the seed and the bytes.
    """
    of_name = targets()
    session = Session()
    counts = dict.fromkeys(only or of_name, 0)
    whole = 0
    begun, before = time.monotonic(), _resident()
    for name, number in runs(seed, list(counts)):
        if time.monotonic() - begun > seconds:
            break
        stored = of_name[name].stored(random.Random(number))
        try:
            whole += check(of_name[name], stored, session).refused is not None
        except Exception as error:
            raise PropertyError(f"{name}, seed {number}: {error!r}\n{stored!r}") from error
        counts[name] += 1
    session.close()
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    grown = (_resident() - before) >> 20
    return f"{sum(counts.values())} objects ({told}), {whole} refused whole, {grown} MiB grown"


def _resident() -> int:
    """The most memory that this process held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    sys.exit(main())
