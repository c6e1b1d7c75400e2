"""What Dagster loads: the graph of `graph.py` for the settings of this environment."""

from __future__ import annotations

from cdp_assets.failpoints import arm
from cdp_assets.graph import build_defs
from cdp_assets.settings import load_settings

_settings = load_settings()
arm(_settings.failpoint)
defs = build_defs(_settings)
