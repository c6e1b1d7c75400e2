"""DynamoDB of moto's over HTTP, and a line on which calls fail as asked; fixtures to import."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from cdp_assets.resources.dynamodb import create_table
from tests.unit.s3 import REGION

# `timeout`: the call never arrived; `lost`: it was done, and its answer never arrived.
Fault = Literal["503", "500", "throttled", "reset", "timeout", "lost"]
FAULTS: tuple[Fault, ...] = ("503", "throttled", "reset", "lost")
Spoil = Callable[[int, Any], AWSResponse | None]


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


def without_pauses(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let botocore, and these modules of ours, wait for nothing before they ask again."""
    no_time = SimpleNamespace(sleep=lambda _: None)
    for module in ("botocore.endpoint", *modules):
        monkeypatch.setattr(f"{module}.time", no_time)


def new_table(client: Any) -> str:
    """Make a table of its own."""
    name = f"t-{uuid.uuid4().hex}"
    create_table(client, name)
    return name


class Line:
    """Stands between clients and their servers, counts calls, and spoils those it is told to.

    What botocore tries several times is one call of several attempts. Threads may share a line.

    Args:
        clients: of boto3.
    """

    def __init__(self, *clients: Any) -> None:
        self.calls: list[str] = []
        self.spoilt = 0
        self._invocations: dict[Any, int] = {}
        self._lock = threading.Lock()
        self._spoil: Spoil = lambda call, request: None
        for client in clients:
            client.meta.events.register_first("before-send", self._send)

    def fail_nth(self, nth: int, fault: Fault, *, for_good: bool = False) -> None:
        """Spoil the nth call from now on, and no other.

        Args:
            nth: from 1; 0 spoils none.
            fault: what becomes of it.
            for_good: every attempt of it, not the first alone.
        """

        def failing(call: int, request: Any) -> AWSResponse | None:
            is_hit = call == nth and (for_good or _is_first(request))
            return spoil(request, fault) if is_hit else None

        self.answer(failing)

    def answer(self, spoil: Spoil) -> None:
        """Let `spoil` answer each call (its number, the request), or send it on with None."""
        with self._lock:
            self.calls.clear()
            self._invocations.clear()
            self._spoil = spoil

    def _send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        with self._lock:
            invocation = request.headers["amz-sdk-invocation-id"]
            if invocation not in self._invocations:
                self.calls.append(event_name.rsplit(".", 1)[-1])
                self._invocations[invocation] = len(self.calls)
            call = self._invocations[invocation]
        try:
            answer = self._spoil(call, request)
        except Exception:
            self.spoilt += 1
            raise
        self.spoilt += answer is not None
        return answer


class Wire(Line):
    """A line of one client of its own.

    Args:
        endpoint: of the server.
        retries: attempts of botocore per call; 1 lets every fault through.
        service: of the client.
    """

    def __init__(self, endpoint: str, retries: int = 1, service: str = "dynamodb") -> None:
        self.client = client_of(service, endpoint, retries={"total_max_attempts": retries})
        super().__init__(self.client)


def spoil(request: Any, fault: Fault) -> AWSResponse:
    """What becomes of a request: an error, a broken connection, or an answer that gets lost."""
    is_s3 = not _is_json(request)
    if fault == "503":
        return refusal(request, 503, "SlowDown" if is_s3 else "ServiceUnavailable")
    if fault == "500":
        return refusal(request, 500, "InternalError" if is_s3 else "InternalServerError")
    if fault == "throttled":
        return refusal(request, 400, "ThrottlingException")
    if fault == "reset":
        raise ConnectionClosedError(endpoint_url=request.url)
    if fault == "lost":
        deliver(request)
    raise ReadTimeoutError(endpoint_url=request.url)


def deliver(request: Any) -> AWSResponse:
    """Send a request as it is; the answer of the server."""
    return URLLib3Session().send(request)


def refusal(request: Any, status: int, code: str, message: str = "") -> AWSResponse:
    """An error that the server never gave."""
    if _is_json(request):
        return response(request, status, {"__type": code, "message": message})
    content = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    # Without a body nobody tells what is wrong with a HEAD.
    return _response(request, status, "" if request.method == "HEAD" else content, "text/xml")


def response(request: Any, status: int, body: dict[str, Any]) -> AWSResponse:
    """An answer that the server never gave."""
    return _response(request, status, json.dumps(body), "application/x-amz-json-1.0")


def _response(request: Any, status: int, content: str, kind: str) -> AWSResponse:
    headers = HeadersDict({"Content-Type": kind})
    return AWSResponse(request.url, status, headers, _Raw(content.encode()))  # pyright: ignore[reportArgumentType]


def _is_json(request: Any) -> bool:
    return "X-Amz-Target" in request.headers


def _is_first(request: Any) -> bool:
    told = request.headers["amz-sdk-request"]
    return "attempt=1" in (told.decode() if isinstance(told, bytes) else told)


class _Raw:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Any:
        yield self._content
