"""Text files as Hive's SerDes read and write them, with their quirks.

Here: OpenCSVSerde and LazySimpleSerDe. Not here: which table has which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_NULL = "\\N"


def read_open_csv(
    text: str, width: int, skip: int, options: Mapping[str, str]
) -> list[list[str | None]]:
    r"""Rows of OpenCSVSerde: every value a text, one line one row.

    The escape sign is the backslash unless set otherwise, and one before any other sign than a
    quote or itself is dropped: `\d` is read as `d`.
    """
    separator = options.get("separatorChar", ",")
    quote = options.get("quoteChar", '"')
    escape = options.get("escapeChar", "\\")
    if escape == quote:
        # The SerDe takes these two for its default pair.
        escape = "\\"
    rows = []
    for line in text.splitlines()[skip:]:
        values = _open_csv_line(line, separator, quote, escape)
        rows.append([*values, *[None] * (width - len(values))][:width])
    return rows


def _open_csv_line(line: str, separator: str, quote: str, escape: str) -> list[str | None]:
    values: list[str | None] = []
    letters: list[str] = []
    is_quoted = False
    place = 0
    while place < len(line):
        sign = line[place]
        after = line[place + 1 : place + 2]
        if sign == escape:
            if after and after in (quote, escape) and is_quoted:
                letters.append(after)
                place += 1
        elif sign == quote:
            if is_quoted and after == quote:
                letters.append(quote)
                place += 1
            else:
                is_quoted = not is_quoted
        elif sign == separator and not is_quoted:
            values.append("".join(letters))
            letters = []
        else:
            letters.append(sign)
        place += 1
    values.append("".join(letters))
    return values


def read_delimited(
    text: str, width: int, skip: int, options: Mapping[str, str]
) -> list[list[str | None]]:
    r"""Rows of LazySimpleSerDe: no quotes; `\N` is NULL."""
    separator = _separator(options)
    rows = []
    for line in text.splitlines()[skip:]:
        values = [None if value == _NULL else value for value in line.split(separator)]
        rows.append([*values, *[None] * (width - len(values))][:width])
    return rows


def write_delimited(rows: Sequence[Sequence[str | None]], options: Mapping[str, str]) -> bytes:
    r"""Rows as LazySimpleSerDe reads them."""
    separator = _separator(options)
    lines = (separator.join(_NULL if one is None else one for one in row) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def _separator(options: Mapping[str, str]) -> str:
    """`serialization.format` is the sign itself, or its number."""
    given = options.get("field.delim", options.get("serialization.format", "1"))
    return chr(int(given)) if given.isdigit() else given
