"""Text for a terminal, whoever wrote it. Not here: what is printed."""

from __future__ import annotations


def printable(line: str) -> str:
    """A line that moves no cursor and turns no text around: ids are what a sender made of them."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
