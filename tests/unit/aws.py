"""DynamoDB of moto's over HTTP, and a wire on which calls fail as asked; fixtures to import."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any, Literal

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from cdp_assets.resources.dynamodb import create_table
from tests.unit.s3 import REGION

Fault = Literal["503", "throttled", "reset", "lost"]
FAULTS: tuple[Fault, ...] = ("503", "throttled", "reset", "lost")


def client_of(service: str, endpoint: str, **config: Any) -> Any:
    """A real client of boto3 that talks to the server."""
    return boto3.client(
        service,  # pyright: ignore[reportArgumentType, reportCallIssue]
        endpoint_url=endpoint,
        region_name=REGION,
        config=Config(**config),
    )


@pytest.fixture
def dynamodb(s3_endpoint: str) -> Any:
    """A client as a run has it, but for shorter pauses."""
    return client_of("dynamodb", s3_endpoint, retries={"mode": "standard", "max_attempts": 3})


def new_table(client: Any) -> str:
    """Make a table of its own."""
    name = f"t-{uuid.uuid4().hex}"
    create_table(client, name)
    return name


class Wire:
    """Stands between a client and the server, counts calls, and spoils those it is told to.

    Args:
        endpoint: of the server.
        retries: attempts of botocore per call; 1 lets every fault through.
    """

    def __init__(self, endpoint: str, retries: int = 1, service: str = "dynamodb") -> None:
        self.client = client_of(service, endpoint, retries={"total_max_attempts": retries})
        self.calls: list[str] = []
        self._spoil: Callable[[int, Any], AWSResponse | None] = lambda call, request: None
        self.client.meta.events.register_first(f"before-send.{service}.*", self._send)

    def fail_nth(self, nth: int, fault: Fault) -> None:
        """Spoil the nth call from now on, and no other."""
        self.calls.clear()
        self._spoil = lambda call, request: spoil(request, fault) if call == nth else None

    def answer(self, spoil: Callable[[int, Any], AWSResponse | None]) -> None:
        """Let `spoil` answer each call (its number, the request), or send it on with None."""
        self.calls.clear()
        self._spoil = spoil

    def _send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        self.calls.append(event_name.rsplit(".", 1)[-1])
        return self._spoil(len(self.calls), request)


def spoil(request: Any, fault: Fault) -> AWSResponse:
    """What becomes of a request: an error, a broken connection, or an answer that gets lost."""
    if fault == "503":
        return response(request, 503, {"__type": "ServiceUnavailable"})
    if fault == "throttled":
        return response(request, 400, {"__type": "ProvisionedThroughputExceededException"})
    if fault == "reset":
        raise ConnectionClosedError(endpoint_url=request.url)
    URLLib3Session().send(request)
    raise ReadTimeoutError(endpoint_url=request.url)


def response(request: Any, status: int, body: dict[str, Any]) -> AWSResponse:
    """An answer that the server never gave."""
    raw = _Raw(json.dumps(body).encode())
    headers = HeadersDict({"Content-Type": "application/x-amz-json-1.0"})
    return AWSResponse(request.url, status, headers, raw)  # pyright: ignore[reportArgumentType]


class _Raw:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Any:
        yield self._content
