"""A chunk: some records of one object, read and not judged yet, and the layout of their fields.

Here: what every format becomes, and how a header meets its contract. Not here: reading a format
(`parse`, `parquet`), judging values (`validate`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from cdp_assets.sources.contracts import Column, Contract
from cdp_assets.sources.refusal import ObjectRefused, Refusal

LINE: Final = "_line"
RECORD: Final = "record"
# Words, as senders call their fields; no @, no long number, nothing that a log would act on.
_NAME: Final = re.compile(r"(?!.*\d{5})[^\W\d][\w .-]{0,62}")


@dataclass(frozen=True)
class Chunk:
    """Some records of one object, not judged yet.

    Attributes:
        rows: `_line`, then for JSON `record`; else one text column per declared path that the
            object has (named by `Layout.fields`) and per undeclared column (`Layout.extras`).
        payload: the text of the record in a row, for the quarantine.
        refusals: records that were no records.
    """

    rows: pa.Table
    payload: Callable[[int], str]
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """Which columns a CSV or Parquet object has.

    Attributes:
        fields: declared path -> column of `Chunk.rows`.
        extras: undeclared header -> column of `Chunk.rows`.
    """

    fields: dict[str, str]
    extras: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The column of each header, in the object's order."""
        return list({**self.fields, **self.extras}.values())


def lay_out(contract: Contract, header: Sequence[str]) -> Layout:
    """Match an object's header with the contract. The order of columns does not matter.

    Raises:
        ObjectRefused: a header twice; a declared column that is neither there nor optional (under
            drift.table freeze); an undeclared one (under drift.column freeze).
    """
    declared = [path for column in contract.columns for path in column.paths]
    for place, name in enumerate(header, start=1):
        if header.count(name) > 1:
            # Without a header, the first record stands there: only a declared name is repeated.
            known = name if name in contract.known_fields else None
            raise ObjectRefused("duplicate_header", f"header {place}", column=known)
    for column in contract.columns:
        is_absent = not any(path in header for path in column.paths)
        if is_absent and not column.is_optional and contract.drift.table != "evolve":
            raise ObjectRefused("missing_column", _near_miss(column, header), column=column.name)
    places = {name: f"f{index}" for index, name in enumerate(header)}
    extras = {
        name: place
        for name, place in places.items()
        if name not in declared and name not in contract.ignored
    }
    if extras and contract.drift.column == "freeze":
        raise ObjectRefused("undeclared_column", column=listed(extras)[:200])
    return Layout({name: places[name] for name in header if name not in extras}, extras)


def listed(names: Collection[str]) -> str:
    """Names of undeclared fields for logs and the ledger: `a, b`.

    Somebody may send addresses or numbers for names. What cannot be a name is only counted.
    """
    told = sorted(name for name in names if _NAME.fullmatch(name))
    count = len(names) - len(told)
    return ", ".join([*told, *([f"{count} that are no names"] if count else [])])


def _near_miss(column: Column, header: Sequence[str]) -> str:
    """Name a header that differs in case or in spaces only: most likely the one meant."""
    wanted = {path.casefold().replace(" ", "") for path in column.paths}
    near = [name for name in header if name.casefold().replace(" ", "") in wanted]
    return f"the contract says {column.paths[0]!r}, the header has {near[0]!r}" if near else ""
