"""Whether two names or two birth dates can be one person's.

The same rules as dbt_project/macros/identity/compatible.sql, which judges links one by one; here
they judge whole clusters. tests/pipeline/test_identity_models.py holds the two together.
Not here: what follows from a conflict (`clusters.py`).
"""

from __future__ import annotations

from functools import lru_cache

_CACHED_PAIRS = 1 << 20


@lru_cache(maxsize=_CACHED_PAIRS)
def compatible_names(left: str, right: str) -> bool:
    """Equal nickname keys, an initial of the other, or a typing error.

    Args:
        left: first name key: folded, nicknames replaced by their canonical name; not empty.
        right: the same of the other record.
    """
    if left == right:
        return True
    shorter, longer = sorted((left, right), key=len)
    if len(shorter) == 1:
        return longer.startswith(shorter)
    allowed = 2 if len(shorter) >= 8 else 1 if len(shorter) >= 4 else 0
    return len(longer) - len(shorter) <= allowed and edit_distance(left, right) <= allowed


@lru_cache(maxsize=_CACHED_PAIRS)
def compatible_birth_dates(left: str, right: str) -> bool:
    """Two of year, month and day agree, or day and month are swapped.

    That is how people mistype a date, and not how a father's differs from his son's.

    Args:
        left: ISO date, `YYYY-MM-DD`.
        right: the same of the other record.
    """
    a, b = left.split("-"), right.split("-")
    return sum(x == y for x, y in zip(a, b, strict=True)) >= 2 or [a[0], a[2], a[1]] == b


def edit_distance(left: str, right: str) -> int:
    """Levenshtein distance: insertions, deletions and substitutions of one letter."""
    previous = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        current = [i]
        for j, b in enumerate(right, start=1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (a != b)))
        previous = current
    return previous[-1]
