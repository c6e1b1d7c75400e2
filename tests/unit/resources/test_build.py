"""Which class stands behind an interface, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from cdp_assets.resources.athena_warehouse import AthenaWarehouse
from cdp_assets.resources.build import (
    build_duckdb,
    build_leases,
    build_ledger,
    build_metrics,
    build_notifier,
    build_object_store,
    build_profile_store,
    build_secrets,
    build_warehouse,
)
from cdp_assets.resources.dynamodb import create_table, dynamodb_client
from cdp_assets.resources.leases import NoLeases, TableBusyError
from cdp_assets.resources.metrics import Measure
from cdp_assets.resources.object_store import LocalObjectStore, S3ObjectStore
from cdp_assets.settings import SettingsError, load_settings
from tests.unit.s3 import REGION, new_bucket, s3_endpoint

__all__ = ["s3_endpoint"]


def test_a_folder_or_a_bucket_stands_behind_the_lake(tmp_path: Path) -> None:
    lake = tmp_path / "with space"
    local = build_object_store(load_settings({"CDP_LAKE_URL": lake.as_uri()}))
    assert isinstance(local, LocalObjectStore)
    assert local.url("a") == str(lake / "a")
    s3 = build_object_store(load_settings({"CDP_LAKE_URL": "s3://bucket/some/prefix"}))
    assert isinstance(s3, S3ObjectStore)
    assert s3.url("a") == "s3://bucket/some/prefix/a"


def test_the_key_that_is_set_is_that_of_the_lake(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    bucket = new_bucket(s3_endpoint)
    environ = {"CDP_LAKE_URL": f"s3://{bucket}/lake", "AWS_ENDPOINT_URL": s3_endpoint}
    build_object_store(load_settings({**environ, "CDP_KMS_KEY": "alias/acme"})).write("a", b"1")
    head = _boto3("s3", REGION).head_object(Bucket=bucket, Key="lake/a")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/acme")


@pytest.mark.parametrize("url", ["/plain/path", "file://host/path", "gs://bucket", "s3://", ""])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="CDP_LAKE_URL"):
        build_object_store(load_settings({"CDP_LAKE_URL": url}))


AWS = {"CDP_PROFILE": "aws", "CDP_LAKE_URL": "s3://bucket/lake", "AWS_REGION": "eu-central-1"}


def test_what_only_a_laptop_has_is_said_plainly() -> None:
    with pytest.raises(SettingsError, match="aws profile has no DuckDB file"):
        build_duckdb(load_settings(AWS))


def test_the_stores_of_aws_are_the_tenants_own(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    settings = load_settings({**AWS, "CDP_TENANT": "acme"})
    client = dynamodb_client(settings.region)
    create_table(client, "cdp-acme-ledger")
    create_table(client, "cdp-acme-profiles")
    secret = _boto3("secretsmanager", settings.region)
    secret.create_secret(Name="cdp/acme/hmac-key", SecretBinary=b"a" * 32)
    assert build_ledger(settings).begin("a", "v1").load_id == 1
    assert build_profile_store(settings).begin_sync() == 1
    impatient = build_leases(replace(settings, lease_patience=0))
    table = [("identity", "customer_map")]
    with build_leases(settings).hold(table), pytest.raises(TableBusyError):
        impatient.hold(table).__enter__()
    assert build_secrets(settings).hmac_key() == b"a" * 32
    build_metrics(settings).put([Measure("RunsFailed", 1)])
    named = {"CDP_LEDGER_TABLE": "l", "CDP_PROFILE_TABLE": "p", "CDP_SECRET_NAME": "s"}
    settings = load_settings({**AWS, **named})
    assert (settings.ledger_table, settings.profile_table, settings.secret_name) == ("l", "p", "s")


def test_somebody_is_told_on_aws_or_nothing_starts(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    with pytest.raises(SettingsError, match="CDP_ALERTS_TOPIC_ARN is not set"):
        build_notifier(load_settings(AWS))
    topic = _boto3("sns", "eu-central-1").create_topic(Name="told")["TopicArn"]
    build_notifier(load_settings({**AWS, "CDP_ALERTS_TOPIC_ARN": topic})).notify("a", "b")


def test_the_warehouse_of_aws_is_athena_and_making_it_asks_nothing() -> None:
    warehouse = build_warehouse(load_settings(AWS))
    assert isinstance(warehouse, AthenaWarehouse)
    assert warehouse.database("identity") == "main_identity"


def test_building_touches_nothing(tmp_path: Path) -> None:
    settings = load_settings({"CDP_HOME": str(tmp_path / "home")})
    build_ledger(settings)
    build_warehouse(settings)
    build_object_store(settings)
    build_profile_store(settings)
    build_secrets(settings)
    build_notifier(settings)
    build_metrics(settings)
    assert isinstance(build_leases(settings), NoLeases)
    assert not (tmp_path / "home").exists()


def _boto3(service: str, region: str) -> Any:
    return boto3.client(service, region_name=region)  # pyright: ignore[reportArgumentType, reportCallIssue]
