"""Which profiles are still to be written: kept until a publish covered them.

Not here: marking customers as touched, which is part of applying the map (`apply.py`).
"""

from __future__ import annotations

from cdp_assets.identity.tables import TOUCHED
from cdp_assets.resources.warehouse import Warehouse


def acknowledge_published(warehouse: Warehouse) -> None:
    """Forget the touched customers: their profiles are in what is being published."""
    warehouse.execute(TOUCHED.create_if_missing, f"delete from {TOUCHED.address}")
