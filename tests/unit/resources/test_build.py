"""Which class stands behind an interface, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdp_assets.resources.athena_warehouse import AthenaWarehouse
from cdp_assets.resources.build import (
    build_duckdb,
    build_ledger,
    build_notifier,
    build_object_store,
    build_warehouse,
)
from cdp_assets.resources.object_store import LocalObjectStore, S3ObjectStore
from cdp_assets.settings import SettingsError, load_settings


def test_a_folder_or_a_bucket_stands_behind_the_lake(tmp_path: Path) -> None:
    lake = tmp_path / "with space"
    local = build_object_store(load_settings({"CDP_LAKE_URL": lake.as_uri()}))
    assert isinstance(local, LocalObjectStore)
    assert local.url("a") == str(lake / "a")
    s3 = build_object_store(load_settings({"CDP_LAKE_URL": "s3://bucket/some/prefix"}))
    assert isinstance(s3, S3ObjectStore)
    assert s3.url("a") == "s3://bucket/some/prefix/a"


@pytest.mark.parametrize("url", ["/plain/path", "file://host/path", "gs://bucket", "s3://", ""])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="CDP_LAKE_URL"):
        build_object_store(load_settings({"CDP_LAKE_URL": url}))


@pytest.mark.parametrize("build", [build_ledger, build_duckdb, build_notifier])
def test_what_aws_has_not_yet_is_said_plainly(build: object) -> None:
    settings = load_settings(
        {"CDP_PROFILE": "aws", "CDP_LAKE_URL": "s3://bucket/lake", "AWS_REGION": "eu-central-1"}
    )
    assert callable(build)
    with pytest.raises(SettingsError, match="aws profile has no"):
        build(settings)


def test_the_warehouse_of_aws_is_athena_and_making_it_asks_nothing() -> None:
    settings = load_settings(
        {"CDP_PROFILE": "aws", "CDP_LAKE_URL": "s3://bucket/lake", "AWS_REGION": "eu-central-1"}
    )
    warehouse = build_warehouse(settings)
    assert isinstance(warehouse, AthenaWarehouse)
    assert warehouse.database("identity") == "main_identity"


def test_building_touches_nothing(tmp_path: Path) -> None:
    settings = load_settings({"CDP_HOME": str(tmp_path / "home")})
    build_ledger(settings)
    build_warehouse(settings)
    build_object_store(settings)
    assert not (tmp_path / "home").exists()
