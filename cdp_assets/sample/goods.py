"""What people buy and what it costs. Here: draws over PRODUCTS. Not here: receipts and orders."""

from __future__ import annotations

import numpy as np

from cdp_assets.sample.dice import Dice
from cdp_assets.sample.vocabulary import PRICE_LEVELS, PRODUCTS

_CENTS = np.array([product.cents for product in PRODUCTS])
_PRICE_LEVELS = np.array(PRICE_LEVELS)


def unit_price(product: np.ndarray, country: np.ndarray) -> np.ndarray:
    """Shelf price in hundredths of the country's money."""
    return np.round(_CENTS[product] * _PRICE_LEVELS[country]).astype(np.int64)


def favourites(dice: Dice, ids: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Product indices: half of what a person looks at is among five neighbours on the list."""
    anything = dice.below("product", ids, len(PRODUCTS))
    liked = dice.below("liked", who, len(PRODUCTS)) + dice.below("neighbour", ids, 5)
    return np.where(dice.chance("likes", ids, 0.5), liked % len(PRODUCTS), anything)
