"""How things are named: layers, asset keys and leaf names.

Layer = Python folder = dbt folder = asset key prefix = asset group = database or schema.
Belongs here: a name that two layers must agree on. Not here: settings, paths, SQL.
"""

from __future__ import annotations

from typing import Final

from dagster import AssetKey

SOURCES: Final = "sources"
CLEANSED: Final = "cleansed"
IDENTITY: Final = "identity"
PROFILE: Final = "profile"
ACTIVATION: Final = "activation"
LAYERS: Final = (SOURCES, CLEANSED, IDENTITY, PROFILE, ACTIVATION)

# Whoever writes the warehouse waits for a slot in this pool: DuckDB has one writer.
WAREHOUSE_POOL: Final = "warehouse"

# The asset that no ordinary run makes: its own job trains it.
TRAINED_MODEL: Final = "identity_model"

CHANNELS: Final = ("crm", "pos", "contact_center", "email", "web", "mobile")


def raw_name(source: str, entity: str) -> str:
    """Leaf name of a source extract, for example `raw_crm__contacts`."""
    return f"raw_{source}__{entity}"


def clean_name(source: str, entity: str) -> str:
    """Leaf name of a cleansed table, for example `clean_crm__contacts`."""
    return f"clean_{source}__{entity}"


def asset_key(layer: str, name: str) -> AssetKey:
    """The key of a table: its layer, then its name; never a database or an environment."""
    if layer not in LAYERS:
        raise ValueError(f"{layer!r} is not a layer; the layers are {', '.join(LAYERS)}.")
    return AssetKey([layer, name])
