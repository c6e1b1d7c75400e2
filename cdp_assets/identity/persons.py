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
    """Equal, one digit apart, two neighbouring digits swapped, or day and month swapped.

    Args:
        left: ISO date, `YYYY-MM-DD`.
        right: the same of the other record.
    """
    a, b = left.replace("-", ""), right.replace("-", "")
    if edit_distance(a, b) <= 1 or a[:4] + a[6:] + a[4:6] == b:
        return True
    return any(a[:i] + a[i + 1] + a[i] + a[i + 2 :] == b for i in range(len(a) - 1))


def edit_distance(left: str, right: str) -> int:
    """Levenshtein distance: insertions, deletions and substitutions of one letter."""
    previous = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        current = [i]
        for j, b in enumerate(right, start=1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (a != b)))
        previous = current
    return previous[-1]
