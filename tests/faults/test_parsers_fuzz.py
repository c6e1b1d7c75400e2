"""Objects that nobody could have meant: whatever comes, it is loaded, quarantined or refused.

`fuzz.py` has the mutations and the properties, and a command that goes on for as long as one likes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp_assets.sources.validate import Session
from tests.faults.fuzz import PropertyError, check, fuzz, read, targets

pytestmark = pytest.mark.fault("F11", "F12", "F16", "F17", "F18")

TARGETS = targets()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.close()


@pytest.mark.parametrize("name", TARGETS)
@given(dice=st.randoms(use_true_random=False))
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_object_is_lost_or_stops_the_reader(
    session: Session, name: str, dice: random.Random
) -> None:
    check(TARGETS[name], TARGETS[name].stored(dice), session)


@pytest.mark.parametrize("name", TARGETS)
def test_a_sound_object_is_loaded_whole(session: Session, name: str) -> None:
    """Else the fuzzing would show nothing."""
    import gzip

    target = TARGETS[name]
    stored = gzip.compress(target.sound) if target.is_gzip else target.sound
    assert len(read(target, stored, session).loaded) >= 9


def test_a_reader_that_loses_a_line_is_found_out(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cdp_assets.sources import framing

    cut = framing.LineSplitter.split

    def forgetful(self, data, line, *, is_last):
        split = cut(self, data, line, is_last=is_last)
        if len(split.is_kept) > 1:
            split.is_kept[1] = False
        return split

    monkeypatch.setattr(framing.LineSplitter, "split", forgetful)
    with pytest.raises(PropertyError, match="not accounted for"):
        check(TARGETS["json_lines"], TARGETS["json_lines"].sound, session)


@pytest.mark.faults
def test_half_a_minute_of_other_objects_finds_nothing() -> None:
    print(fuzz(seconds=30, seed=random.SystemRandom().randrange(10**9)))
