"""Whether two names or two birth dates can be one person's.

The same rules as dbt_project/macros/identity/compatible.sql, which judges links one by one; here
they judge whole clusters. tests/pipeline/test_identity_models.py holds the two together.
Not here: what follows from a conflict (`clusters.py`).
"""

from __future__ import annotations

from functools import lru_cache

_CACHED_PAIRS = 1 << 20

_HEARD = (("sch", "s"), ("ph", "f"), ("ce", "se"), ("ci", "si"), ("tz", "s"), ("gh", "k"))
_CONSONANTS = str.maketrans("bcdgmqvwxz", "pktknkffks", "aeiouyh ")


@lru_cache(maxsize=_CACHED_PAIRS)
def compatible_names(left: str, right: str) -> bool:
    """Whether one name may be the other: an initial, a typing error, a short form, the same sound.

    Args:
        left: first name key: folded (so it has 100 letters at most), nicknames replaced by their
            canonical name; not empty.
        right: the same of the other record.
    """
    if left == right:
        return True
    shorter, longer = sorted((left, right), key=len)
    if len(shorter) == 1:
        return longer.startswith(shorter)
    allowed = 2 if len(shorter) >= 8 else 1 if len(shorter) >= 4 else 0
    if len(longer) - len(shorter) <= allowed and edit_distance(left, right) <= allowed:
        return True
    return len(shorter) >= 3 and (
        longer.startswith(shorter)
        or longer.endswith(shorter)
        or sorted(left) == sorted(right)
        or _sound_alike(left, right)
    )


def _sound_alike(left: str, right: str) -> bool:
    # Two consonants are too few: John and Jane have the same.
    return (
        left[0] == right[0] and len(name_sound(left)) > 2 and name_sound(left) == name_sound(right)
    )


def name_sound(name: str) -> str:
    """How a folded name sounds, roughly; `name_sound` of dbt_project/macros/clean/names.sql."""
    for spelt, heard in _HEARD:
        name = name.replace(spelt, heard)
    name = name.translate(_CONSONANTS)
    for letter in "stnklrpf":
        name = name.replace(letter * 2, letter)
    return name


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
