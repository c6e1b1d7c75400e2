from __future__ import annotations

import numpy as np

from cdp_assets.sample.dice import Dice

IDS = np.arange(20_000)


def test_a_draw_depends_on_its_own_id_only():
    dice = Dice(7, "web")
    assert (dice.bits("x", IDS)[500:600] == dice.bits("x", IDS[500:600])).all()


def test_other_names_seeds_and_draws_are_unrelated():
    draws = [
        Dice(7, "web").uniform("x", IDS),
        Dice(7, "web").uniform("y", IDS),
        Dice(7, "pos").uniform("x", IDS),
        Dice(8, "web").uniform("x", IDS),
    ]
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert abs(correlations).max() < 0.03


def test_draws_are_as_frequent_as_asked_for():
    dice = Dice(7, "web")
    assert abs(dice.chance("c", IDS, 0.2).mean() - 0.2) < 0.01
    assert set(dice.below("b", IDS, 5)) == {0, 1, 2, 3, 4}
    shares = np.bincount(dice.pick("p", IDS, (5, 3, 2))) / len(IDS)
    assert abs(shares - [0.5, 0.3, 0.2]).max() < 0.01
