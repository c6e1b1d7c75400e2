"""Back ends from settings: the only place that knows which class stands behind an interface."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from cdp_assets.resources.athena_warehouse import AthenaSettings, AthenaWarehouse
from cdp_assets.resources.checkpoints import (
    Checkpoints,
    DynamoDBCheckpoints,
    SQLiteCheckpoints,
)
from cdp_assets.resources.dynamodb import dynamodb_client
from cdp_assets.resources.dynamodb_ledger import DynamoDBObjectLedger
from cdp_assets.resources.dynamodb_profiles import DynamoDBProfileStore
from cdp_assets.resources.leases import DynamoDBLeases, Leases, NoLeases, Pace
from cdp_assets.resources.metrics import CloudWatchMetrics, LogMetrics, Metrics
from cdp_assets.resources.notifier import LogNotifier, Notifier, SNSNotifier
from cdp_assets.resources.object_events import NoObjectEvents, ObjectEvents, SQSObjectEvents
from cdp_assets.resources.object_ledger import ObjectLedger, SQLiteObjectLedger
from cdp_assets.resources.object_store import LocalObjectStore, ObjectStore, S3ObjectStore
from cdp_assets.resources.profile_store import ProfileStore, SQLiteProfileStore
from cdp_assets.resources.secrets import FileSecrets, Secrets, SecretsManagerSecrets
from cdp_assets.resources.warehouse import DuckDBWarehouse, Warehouse
from cdp_assets.settings import Settings, SettingsError


def build_object_store(settings: Settings) -> ObjectStore:
    """The lake: a folder for file:// addresses, a bucket for s3:// ones.

    Raises:
        SettingsError: the address is neither.
    """
    if settings.lake_folder is not None:
        return LocalObjectStore(settings.lake_folder)
    url = urlsplit(settings.lake_url)
    if url.scheme == "s3" and url.netloc:
        return S3ObjectStore(
            url.netloc, url.path, settings.region, settings.s3_endpoint_url, settings.kms_key
        )
    raise SettingsError(
        f"CDP_LAKE_URL is {settings.lake_url!r}: it takes file:///folder or s3://bucket/prefix."
    )


def build_object_events(settings: Settings) -> ObjectEvents:
    """The queue that tells of new landing objects, where one is set.

    Raises:
        SettingsError: a queue is set, and the lake is no bucket.
    """
    if settings.landing_queue_url is None:
        return NoObjectEvents()
    url = urlsplit(settings.lake_url)
    if url.scheme != "s3":
        raise SettingsError(
            "CDP_LANDING_QUEUE_URL is set, and CDP_LAKE_URL is no bucket: only S3 tells of objects."
        )
    return SQSObjectEvents(settings.landing_queue_url, url.netloc, url.path, settings.region)


def build_checkpoints(settings: Settings) -> Checkpoints:
    """How far each shard of a stream was landed."""
    if settings.profile == "local":
        return SQLiteCheckpoints(settings.checkpoints_path)
    return DynamoDBCheckpoints(settings.checkpoint_table, settings.region)


def build_kinesis(settings: Settings) -> Any:
    """A client of Kinesis, wherever botocore finds it."""
    # Throttling is waited for shard by shard; a few quick retries are for the network.
    retries = Config(retries={"mode": "standard", "max_attempts": 3})
    return boto3.client("kinesis", region_name=settings.region, config=retries)


def build_ledger(settings: Settings) -> ObjectLedger:
    """The object ledger: a file of the home, or a DynamoDB table."""
    if settings.profile == "aws":
        client = dynamodb_client(settings.region)
        return DynamoDBObjectLedger(client, settings.ledger_table, settings.tenant)
    return SQLiteObjectLedger(settings.ledger_path)


def build_profile_store(settings: Settings) -> ProfileStore:
    """The profile store: a file of the home, or a DynamoDB table."""
    if settings.profile == "aws":
        client = dynamodb_client(settings.region)
        return DynamoDBProfileStore(client, settings.profile_table, settings.tenant)
    return SQLiteProfileStore(settings.profile_store_path)


def build_leases(settings: Settings) -> Leases:
    """Who may write a table: nothing to ask on one machine, items beside the ledger on AWS."""
    if settings.profile == "aws":
        client = dynamodb_client(settings.region)
        lease = settings.lease_seconds
        pace = Pace(lease, min(30, lease / 10), settings.lease_patience, min(5, lease / 10))
        return DynamoDBLeases(client, settings.ledger_table, settings.tenant, pace)
    return NoLeases()


def build_secrets(settings: Settings) -> Secrets:
    """The tenant's secrets: a file of the home, or Secrets Manager."""
    if settings.profile == "aws":
        return SecretsManagerSecrets(_client("secretsmanager", settings), settings.secret_name)
    store = settings.profile_store_path
    return FileSecrets(
        settings.hmac_key_path,
        is_in_use=lambda: store.exists() and SQLiteProfileStore(store).count() > 0,
    )


def build_warehouse(settings: Settings) -> Warehouse:
    """The warehouse: a DuckDB file, or Athena's tables."""
    return build_athena(settings) if settings.profile == "aws" else build_duckdb(settings)


def build_athena(settings: Settings) -> AthenaWarehouse:
    """The warehouse on Athena, for commands that look after its tables.

    Raises:
        SettingsError: the profile has none.
    """
    if settings.profile != "aws":
        raise SettingsError("The local profile has no Athena tables: set CDP_PROFILE=aws.")
    return AthenaWarehouse(
        AthenaSettings(settings.tenant, settings.region, settings.work_group, settings.kms_key),
        build_object_store(settings),
    )


def build_duckdb(settings: Settings) -> DuckDBWarehouse:
    """The warehouse file, for commands that look at one with DuckDB itself.

    Raises:
        SettingsError: the profile has no such file.
    """
    if settings.profile != "local":
        raise SettingsError("The aws profile has no DuckDB file: set CDP_PROFILE=local.")
    return DuckDBWarehouse(
        settings.warehouse_path,
        settings.published_path,
        settings.warehouse_memory,
        settings.raw_folder,
    )


def build_notifier(settings: Settings) -> Notifier:
    """Who is told when something needs a person: the log, or an SNS topic.

    Raises:
        SettingsError: the aws profile was not told the topic.
    """
    if settings.profile == "aws":
        if not settings.alerts_topic_arn:
            raise SettingsError(
                "CDP_ALERTS_TOPIC_ARN is not set: the aws profile has nobody to tell of a failure."
            )
        return SNSNotifier(_client("sns", settings), settings.alerts_topic_arn)
    return LogNotifier()


def build_metrics(settings: Settings) -> Metrics:
    """Where numbers about runs go: the log, or CloudWatch."""
    if settings.profile == "aws":
        return CloudWatchMetrics(_client("cloudwatch", settings), settings.tenant)
    return LogMetrics()


def _client(service: str, settings: Settings) -> Any:
    return boto3.client(
        service,  # pyright: ignore[reportArgumentType, reportCallIssue]
        region_name=settings.region,
        config=Config(retries={"mode": "standard", "max_attempts": 5}),
    )
