"""Looking for planted texts in everything that a run wrote, however it was packed.

A mark is looked for as it is, in another case, in UTF-16, in hexadecimal, in base64 at each of its
three places, in the cells of SQLite files and inside zlib and gzip streams. `test_canaries.py`
proves that each of these is found.
"""

from __future__ import annotations

import base64
import gzip
import sqlite3
import zlib
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

_SQLITE = b"SQLite format 3\0"
_GZIP = b"\x1f\x8b"
_CONTEXT = 60


def find(folder: Path, marks: Collection[str], but: Collection[str] = ()) -> list[str]:
    """Where any of the marks stands in the files below a folder: path, and what is around it.

    Args:
        folder: that is looked through.
        marks: plain ASCII.
        but: first parts of paths below the folder that are left out.
    """
    return [
        f"{path.relative_to(folder)}: {hit}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in but
        for hit in hits(path, marks)
    ]


def hits(path: Path, marks: Collection[str]) -> list[str]:
    """What is around each mark in one file, its name included."""
    patterns = {pattern for mark in marks for pattern in spellings(mark)}
    found = []
    for text in (path.name.encode(), *contents(path)):
        folded = text.lower()
        for pattern, is_exact in patterns:
            at = (text if is_exact else folded).find(pattern)
            if at >= 0:
                around = text[max(at - _CONTEXT, 0) : at + len(pattern) + _CONTEXT]
                found.append(around.decode("utf-8", "backslashreplace"))
    return found


def spellings(mark: str) -> Iterator[tuple[bytes, bool]]:
    """Ways in which a mark may be written, and whether the case counts."""
    plain = mark.lower().encode()
    yield plain, False
    yield mark.lower().encode("utf-16-le"), False
    yield plain.hex().encode(), False
    for exact in {mark.encode(), plain}:
        for shift in range(3):
            # What depends on the neighbours is cut off at both ends.
            coded = base64.b64encode(b"\0" * shift + exact)
            yield coded[(0, 2, 3)[shift] : (shift + len(exact)) * 8 // 6], True


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what is packed in them."""
    content = path.read_bytes()
    yield content
    yield from unpacked(content)
    if content.startswith(_SQLITE):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            # A long text lies in pieces in the file: only its cell holds it whole.
            connection.text_factory = bytes
            tables = connection.execute("select name from sqlite_master where type = 'table'")
            for (table,) in tables.fetchall():
                for row in connection.execute(f'select * from "{table.decode()}"'):
                    for cell in row:
                        if isinstance(cell, bytes):
                            yield cell
                            yield from unpacked(cell)


def unpacked(content: bytes) -> Iterator[bytes]:
    """What a zlib or gzip stream holds."""
    try:
        if content.startswith(_GZIP):
            yield gzip.decompress(content)
        elif content[:1] == b"\x78":
            yield zlib.decompress(content)
    except (OSError, EOFError, zlib.error):
        return
