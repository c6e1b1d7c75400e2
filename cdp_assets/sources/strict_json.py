"""JSON as the standard has it (RFC 8259), where DuckDB's reader is more lenient.

Belongs here: the slow, exact look at one suspicious record. Not here: finding those (`query`).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"')
_NUL_ESCAPE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def strict_json_fault(text: str, nesting: int) -> str | None:
    """The rule that a record breaks as strict JSON, or None.

    Args:
        text: the record.
        nesting: how deep it may be nested.
    """
    if _depth(text) > nesting:
        return "too_deep"
    try:
        json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except _DuplicateKeyError:
        return "duplicate_key"
    except (ValueError, RecursionError):
        return "malformed_json"
    return "nul_character" if _NUL_ESCAPE.search(text) else None


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in _STRING.sub("", text):
        depth += (character in "{[") - (character in "}]")
        deepest = max(deepest, depth)
    return deepest


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _DuplicateKeyError
    return made


class _DuplicateKeyError(Exception):
    pass
