"""An S3 server of moto's on loopback, and stores on it; fixtures for tests that import them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import boto3
import pytest

from cdp_assets.resources.object_store import S3ObjectStore
from tests.moto_server import moto_server

REGION = "eu-central-1"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of the server."""
    with moto_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield endpoint


@pytest.fixture
def s3_store(s3_endpoint: str) -> S3ObjectStore:
    """A prefix in a bucket of its own."""
    return S3ObjectStore(new_bucket(s3_endpoint), "tenant/lake", REGION, s3_endpoint)


def new_bucket(endpoint: str) -> str:
    """Make a bucket of its own."""
    bucket = f"lake-{uuid.uuid4().hex}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
    client.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    return bucket
