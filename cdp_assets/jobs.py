"""The jobs: named selections of assets that people, schedules and sensors launch."""

from __future__ import annotations

from typing import Final

import dagster as dg

from cdp_assets.naming import (
    ACTIVATION,
    CLEANSED,
    IDENTITY,
    PROFILE,
    SOURCES,
    TRAINED_MODEL,
    asset_key,
)

_TRAINED: Final = dg.AssetSelection.assets(asset_key(IDENTITY, TRAINED_MODEL))

_BELOW_SOURCES: Final = dg.AssetSelection.groups(CLEANSED, IDENTITY, PROFILE, ACTIVATION) - _TRAINED
EVERYTHING: Final = dg.AssetSelection.groups(SOURCES) | _BELOW_SOURCES

# Partitioned by landing day because its sources are: `dagster job backfill` and sensors ask for
# days; tables without partitions follow in the same run.
customer_360_job: Final = dg.define_asset_job(
    "customer_360",
    selection=EVERYTHING,
    description="Landing objects of the chosen days, through to profiles published and served.",
)

refresh_profiles_job: Final = dg.define_asset_job(
    "refresh_profiles",
    selection=_BELOW_SOURCES,
    description="Cleansed tables, identity and profiles, from the raw tables as they are.",
)

sync_profiles_job: Final = dg.define_asset_job(
    "sync_profiles",
    selection=dg.AssetSelection.groups(ACTIVATION),
    description="What can be looked up, brought up to what is published.",
)

train_identity_model_job: Final = dg.define_asset_job(
    "train_identity_model",
    selection=_TRAINED,
    description="A new identity model from the records as they are; nothing uses it by itself.",
)

JOBS: Final = (
    customer_360_job,
    refresh_profiles_job,
    sync_profiles_job,
    train_identity_model_job,
)
