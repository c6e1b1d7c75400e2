"""The Athena API over HTTP, on loopback.

Here: the requests, the states of a query, results page by page, workgroups, the record of what was
executed. Not here: SQL (`engine`).

`python -m tests.athena_local.server` starts moto and this server, and prints the environment in
which boto3, dbt and the platform reach them.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.athena_local.catalog import Catalog
from tests.athena_local.engine import DuckDBEngine, Engine, Outcome, Request
from tests.athena_local.errors import SYSTEM, AthenaFailure, ScanLimitError
from tests.athena_local.translate import QUERY_BYTES
from tests.moto_server import moto_server

REGION: Final = "eu-central-1"
_PAGE: Final = 1_000
# Answers to "is it done?" wait this long for a change: clients sleep a second between questions.
_PATIENCE_SECONDS: Final = 5.0
_TERMINAL: Final = ("SUCCEEDED", "FAILED", "CANCELLED")


class RequestRefusedError(Exception):
    """A request that is wrong by itself, answered with HTTP 400.

    Args:
        kind: the exception's name in the API.
        message: for people.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class Execution:
    """One query, from its start."""

    request: Request
    workgroup: str
    output: str
    catalog: str
    encryption: Mapping[str, str] | None = None
    submitted: float = field(default_factory=time.time)
    state: str = "QUEUED"
    reason: str | None = None
    error: Mapping[str, Any] | None = None
    outcome: Outcome | None = None
    completed: float | None = None
    manifest: str | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def move(self, state: str, reason: str | None = None) -> None:
        """Take the next state and tell who waits for it; a terminal one stays."""
        with self.changed:
            if self.state in _TERMINAL:
                return
            self.state, self.reason = state, reason
            if state in _TERMINAL:
                self.completed = time.time()
            self.changed.notify_all()


class AthenaService:
    """The operations of the API, without HTTP.

    Args:
        engine: executes the statements.
        catalog: for result objects.
        patience_seconds: how long GetQueryExecution may wait for the end.
    """

    def __init__(
        self, engine: Engine, catalog: Catalog, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._patience = patience_seconds
        self._executions: dict[str, Execution] = {}
        self._tokens: dict[str, tuple[str, str]] = {}
        self._workgroups: dict[str, dict[str, Any]] = {"primary": _workgroup("primary", {})}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="athena")
        self.slow: list[tuple[float, str, str]] = []

    def statements(self) -> Counter[str]:
        """How many statements of each kind were executed with success."""
        with self._lock:
            return Counter(
                one.outcome.kind
                for one in self._executions.values()
                if one.outcome is not None and one.state == "SUCCEEDED"
            )

    def models(self, kinds: Collection[str]) -> set[str]:
        """The dbt models for which a statement of one of these kinds was executed."""
        with self._lock:
            return {
                found[1]
                for one in self._executions.values()
                if one.outcome is not None and one.outcome.kind in kinds
                if (found := re.search(r'"node_id": "(model\.[^"]+)"', one.request.sql))
            }

    def failures(self) -> list[tuple[str, str]]:
        """Text and reason of the statements that failed."""
        with self._lock:
            return [
                (one.request.sql, one.reason or "")
                for one in self._executions.values()
                if one.state == "FAILED"
            ]

    def outcome(self, query_id: str) -> Outcome:
        """What a statement that succeeded gave."""
        outcome = self._executions[query_id].outcome
        assert outcome is not None
        return outcome

    def forget(self) -> None:
        """Begin a new record."""
        with self._lock:
            self._executions = {
                key: one for key, one in self._executions.items() if one.state not in _TERMINAL
            }

    def close(self) -> None:
        """Let running statements end, and take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def call(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer one request.

        Raises:
            RequestRefusedError: it is wrong, or of an operation that is not here.
        """
        handlers: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
            "StartQueryExecution": self._start,
            "GetQueryExecution": self._get,
            "BatchGetQueryExecution": self._batch_get,
            "StopQueryExecution": self._stop,
            "GetQueryResults": self._results,
            "GetQueryRuntimeStatistics": self._statistics,
            "ListQueryExecutions": self._list,
            "GetWorkGroup": self._get_workgroup,
            "ListWorkGroups": self._list_workgroups,
            "CreateWorkGroup": self._create_workgroup,
            "GetDataCatalog": self._get_catalog,
            "ListDataCatalogs": self._list_catalogs,
        }
        if operation not in handlers:
            raise RequestRefusedError("InvalidRequestException", f"{operation} is not here")
        return handlers[operation](body)

    # --- queries ---

    def _start(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        sql = body.get("QueryString") or ""
        if not sql.strip():
            raise RequestRefusedError("InvalidRequestException", "queryString must not be empty")
        if len(sql.encode()) > QUERY_BYTES:
            raise RequestRefusedError(
                "InvalidRequestException",
                "1 validation error detected: Value at 'queryString' failed to satisfy"
                " constraint: "
                f"Member must have length less than or equal to {QUERY_BYTES}",
            )
        if body.get("ExecutionParameters"):
            raise RequestRefusedError("InvalidRequestException", "ExecutionParameters are not here")
        workgroup = body.get("WorkGroup") or "primary"
        context = body.get("QueryExecutionContext") or {}
        token = body.get("ClientRequestToken")
        output = self._output(workgroup, body)
        query_id = str(uuid.uuid4())
        with self._lock:
            if token and token in self._tokens:
                known, text = self._tokens[token]
                if text != sql:
                    raise RequestRefusedError(
                        "InvalidRequestException", "Idempotent parameters do not match"
                    )
                return {"QueryExecutionId": known}
            if token:
                self._tokens[token] = (query_id, sql)
            database = (context.get("Database") or "default").lower()
            cutoff = self._workgroups[workgroup]["Configuration"].get("BytesScannedCutoffPerQuery")
            request = Request(sql, database, query_id, output, cutoff)
            execution = Execution(
                request,
                workgroup,
                output,
                context.get("Catalog") or "AwsDataCatalog",
                (body.get("ResultConfiguration") or {}).get("EncryptionConfiguration"),
            )
            self._executions[query_id] = execution
        self._pool.submit(self._run, execution)
        return {"QueryExecutionId": query_id}

    def _output(self, workgroup: str, body: Mapping[str, Any]) -> str:
        known = self._workgroups.get(workgroup)
        if known is None:
            raise RequestRefusedError(
                "InvalidRequestException", f"WorkGroup {workgroup} is not found."
            )
        configured = known["Configuration"]
        own = configured.get("ResultConfiguration", {}).get("OutputLocation")
        asked = (body.get("ResultConfiguration") or {}).get("OutputLocation")
        output = own if own and configured.get("EnforceWorkGroupConfiguration") else asked or own
        if not output:
            raise RequestRefusedError(
                "InvalidRequestException",
                "No output location provided. An output location is required either through the "
                "Workgroup result configuration setting or as an API input.",
            )
        return output.rstrip("/")

    def _run(self, execution: Execution) -> None:
        with execution.changed:
            if execution.state != "QUEUED":
                return
            execution.move("RUNNING")
        started = time.perf_counter()
        try:
            outcome = self._engine.execute(execution.request)
            # A type that cannot be told is a failure of the statement, not of the answer later.
            outcome = replace(outcome, infos=[column.info for column in outcome.columns])
            execution.outcome = outcome
            self._write_result(execution, outcome)
        except ScanLimitError as limit:
            execution.move("CANCELLED", str(limit))
        except AthenaFailure as failure:
            self._fail(execution, str(failure), failure.category, failure.error_type)
        except Exception as error:  # noqa: BLE001 (a fault of this server must not hang its client)
            traceback.print_exc()
            reason = f"INTERNAL_ERROR_OF_THE_LOCAL_SERVER: {type(error).__name__}: {error}"
            self._fail(execution, reason, SYSTEM, 1)
        else:
            execution.move("SUCCEEDED")
        finally:
            spent = time.perf_counter() - started
            kind = execution.outcome.kind if execution.outcome else "failed"
            self.slow.append((spent, kind, execution.request.sql))

    def _fail(self, execution: Execution, reason: str, category: int, kind: int) -> None:
        if execution.request.is_cancelled:
            execution.move("CANCELLED", "Query cancelled by user")
            return
        execution.error = {
            "ErrorCategory": category,
            "ErrorType": kind,
            "Retryable": "COMMIT_ERROR" in reason,
            "ErrorMessage": reason,
        }
        execution.move("FAILED", reason)

    def _write_result(self, execution: Execution, outcome: Outcome) -> None:
        folder, name = execution.output, execution.request.query_id
        if outcome.kind == "unload":
            execution.manifest = f"{folder}/{name}-manifest.csv"
            content = "".join(f"{url}\n" for url in outcome.objects)
            self._catalog.objects.put(execution.manifest, content.encode())
            execution.output = f"{folder}/{name}"
            return
        is_table = outcome.kind == "select"
        execution.output = f"{folder}/{name}.{'csv' if is_table else 'txt'}"
        text = ""
        if is_table:
            text = _csv([[one.name for one in outcome.columns], *outcome.rows])
        elif outcome.statement_type != "DML":
            text = "".join("\t".join(one or "" for one in row) + "\n" for row in outcome.rows)
        self._catalog.objects.put(execution.output, text.encode())

    def _execution(self, query_id: str) -> Execution:
        execution = self._executions.get(query_id)
        if execution is None:
            raise RequestRefusedError(
                "InvalidRequestException", f"QueryExecution {query_id} was not found"
            )
        return execution

    def _get(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        execution = self._execution(body["QueryExecutionId"])
        with execution.changed:
            execution.changed.wait_for(lambda: execution.state in _TERMINAL, self._patience)
        return {"QueryExecution": _described(execution)}

    def _batch_get(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        known = [one for one in body["QueryExecutionIds"] if one in self._executions]
        unknown = [one for one in body["QueryExecutionIds"] if one not in self._executions]
        return {
            "QueryExecutions": [_described(self._executions[one]) for one in known],
            "UnprocessedQueryExecutionIds": [
                {"QueryExecutionId": one, "ErrorCode": "INVALID_INPUT"} for one in unknown
            ],
        }

    def _stop(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        execution = self._execution(body["QueryExecutionId"])
        execution.request.is_cancelled = True
        interrupt = execution.request.interrupt
        if interrupt is not None:
            interrupt()
        # One that runs ends when it has let go, and may have committed until then.
        with execution.changed:
            if execution.state == "QUEUED":
                execution.move("CANCELLED", "Query cancelled by user")
        return {}

    def _list(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        workgroup = body.get("WorkGroup") or "primary"
        ids = [key for key, one in self._executions.items() if one.workgroup == workgroup]
        ids.reverse()
        return _page(ids, body, "QueryExecutionIds", 50)

    def _results(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        execution = self._execution(body["QueryExecutionId"])
        outcome = execution.outcome
        if execution.state != "SUCCEEDED" or outcome is None:
            raise RequestRefusedError(
                "InvalidRequestException",
                f"Query has not yet finished. Current state: {execution.state}"
                if execution.state not in _TERMINAL
                else f"Query did not finish successfully. Final query state: {execution.state}",
            )
        is_table = outcome.statement_type == "DML" and outcome.kind == "select"
        rows: list[list[str | None]] = [list(row) for row in outcome.rows]
        if is_table:
            rows.insert(0, [one.name for one in outcome.columns])
        elif outcome.statement_type == "DML" or outcome.kind == "ctas":
            rows = []
        limit = body.get("MaxResults") or _PAGE
        start = int(body.get("NextToken") or 0)
        answer: dict[str, Any] = {
            "UpdateCount": outcome.update_count or 0,
            "ResultSet": {
                "Rows": [
                    {"Data": [{} if one is None else {"VarCharValue": one} for one in row]}
                    for row in rows[start : start + limit]
                ],
                "ResultSetMetadata": {"ColumnInfo": list(outcome.infos)},
            },
        }
        if start + limit < len(rows):
            answer["NextToken"] = str(start + limit)
        return answer

    def _statistics(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        execution = self._execution(body["QueryExecutionId"])
        outcome = execution.outcome
        described = _described(execution)["Statistics"]
        timeline = ("EngineExecutionTimeInMillis", "TotalExecutionTimeInMillis")
        return {
            "QueryRuntimeStatistics": {
                "Timeline": {name: described[name] for name in timeline},
                "Rows": {
                    "OutputRows": len(outcome.rows) if outcome else 0,
                    "InputBytes": described["DataScannedInBytes"],
                },
            }
        }

    # --- workgroups and catalogs ---

    def _get_workgroup(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        known = self._workgroups.get(body["WorkGroup"])
        if known is None:
            raise RequestRefusedError(
                "InvalidRequestException", f"WorkGroup {body['WorkGroup']} is not found."
            )
        return {"WorkGroup": known}

    def _list_workgroups(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        listed = [{"Name": one["Name"], "State": one["State"]} for one in self._workgroups.values()]
        return _page(listed, body, "WorkGroups", 50)

    def _create_workgroup(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        name = body["Name"]
        with self._lock:
            if name in self._workgroups:
                raise RequestRefusedError("InvalidRequestException", "WorkGroup is already created")
            self._workgroups[name] = _workgroup(name, body.get("Configuration") or {})
        return {}

    def _get_catalog(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if body["Name"].lower() != "awsdatacatalog":
            raise RequestRefusedError(
                "InvalidRequestException", f"DataCatalog {body['Name']} was not found"
            )
        return {
            "DataCatalog": {
                "Name": "AwsDataCatalog",
                "Type": "GLUE",
                "Parameters": {"catalog-id": "123456789012"},
            }
        }

    def _list_catalogs(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"DataCatalogsSummary": [{"CatalogName": "AwsDataCatalog", "Type": "GLUE"}]}


def _workgroup(name: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    version = {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"}
    return {
        "Name": name,
        "State": "ENABLED",
        "Configuration": {
            "EnforceWorkGroupConfiguration": False,
            "ResultConfiguration": {},
            "EngineVersion": version,
            **configuration,
        },
        "CreationTime": time.time(),
    }


def _page(items: list[Any], body: Mapping[str, Any], name: str, default: int) -> dict[str, Any]:
    limit, start = body.get("MaxResults") or default, int(body.get("NextToken") or 0)
    answer: dict[str, Any] = {name: items[start : start + limit]}
    if start + limit < len(items):
        answer["NextToken"] = str(start + limit)
    return answer


def _csv(rows: list[Any]) -> str:
    """Athena quotes every value; NULL alone is nothing at all."""
    quoted = (
        ",".join("" if one is None else '"' + one.replace('"', '""') + '"' for one in row)
        for row in rows
    )
    return "".join(f"{line}\n" for line in quoted)


def _described(execution: Execution) -> dict[str, Any]:
    outcome = execution.outcome
    status: dict[str, Any] = {
        "State": execution.state,
        "SubmissionDateTime": execution.submitted,
    }
    if execution.reason:
        status["StateChangeReason"] = execution.reason
    if execution.completed:
        status["CompletionDateTime"] = execution.completed
    if execution.error:
        status["AthenaError"] = execution.error
    spent = int(((execution.completed or time.time()) - execution.submitted) * 1000)
    statistics: dict[str, Any] = {
        "EngineExecutionTimeInMillis": spent,
        "TotalExecutionTimeInMillis": spent,
        "DataScannedInBytes": outcome.scanned if outcome else 0,
    }
    if execution.manifest:
        statistics["DataManifestLocation"] = execution.manifest
    described: dict[str, Any] = {
        "QueryExecutionId": execution.request.query_id,
        "Query": execution.request.sql,
        "ResultConfiguration": {"OutputLocation": execution.output},
        "QueryExecutionContext": {
            "Catalog": execution.catalog.lower(),
            "Database": execution.request.database,
        },
        "Status": status,
        "Statistics": statistics,
        "WorkGroup": execution.workgroup,
        "EngineVersion": {
            "SelectedEngineVersion": "AUTO",
            "EffectiveEngineVersion": "Athena engine version 3",
        },
    }
    if execution.encryption:
        described["ResultConfiguration"]["EncryptionConfiguration"] = execution.encryption
    if outcome is not None:
        described["StatementType"] = outcome.statement_type
        described["SubstatementType"] = outcome.substatement
    return described


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that was killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(service: AthenaService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body in one packet: two would wait for each other.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            content = self.rfile.read(length)
            if len(content) < length:
                raise ConnectionResetError("whoever asked is gone")
            body = json.loads(content or "{}")
            target = self.headers.get("X-Amz-Target", "")
            try:
                self._answer(200, service.call(target.removeprefix("AmazonAthena."), body))
            except RequestRefusedError as refusal:
                self._answer(400, {"__type": refusal.kind, "Message": str(refusal)})

        def _answer(self, status: int, body: Mapping[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: a test that fails says what it asked."""

    return Handler


@dataclass(frozen=True)
class LocalAthena:
    """A running server.

    Attributes:
        environment: what a process needs to reach it (endpoints, credentials, region).
        service: for what tests ask beside the API.
        catalog: of its tables.
        lake: s3:// address of a bucket that exists.
    """

    environment: Mapping[str, str]
    service: AthenaService
    catalog: Catalog
    lake: str

    def of_tenant(self, tenant: str | None = None) -> dict[str, str]:
        """The environment of one tenant's platform; without a name, of a new tenant."""
        tenant = tenant or f"t{uuid.uuid4().hex[:8]}"
        return {
            **self.environment,
            "CDP_PROFILE": "aws",
            "CDP_TENANT": tenant,
            "CDP_LAKE_URL": f"{self.lake}/{tenant}",
        }


@contextmanager
def running(folder: Path, patience_seconds: float = _PATIENCE_SECONDS) -> Iterator[LocalAthena]:
    """Start moto and the server on free ports of 127.0.0.1; stop them at the end.

    Args:
        folder: for local copies of objects.
        patience_seconds: how long an answer about a query's state may wait for its end.
    """
    with moto_server() as endpoint:
        yield from _serving(Catalog(endpoint, REGION, folder), patience_seconds)


def _serving(catalog: Catalog, patience_seconds: float) -> Iterator[LocalAthena]:
    # Moto keeps one world per process, whatever servers look into it.
    bucket = f"lake-{uuid.uuid4().hex[:12]}"
    catalog.objects.client.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    engine = DuckDBEngine(catalog)
    service = AthenaService(engine, catalog, patience_seconds)
    server = _Server(("127.0.0.1", 0), _handler(service))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="athena-http").start()
    try:
        yield LocalAthena(
            {
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ENDPOINT_URL": catalog.endpoint,
                "AWS_ENDPOINT_URL_ATHENA": f"http://127.0.0.1:{server.server_address[1]}",
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            service,
            catalog,
            f"s3://{bucket}",
        )
    finally:
        server.shutdown()
        server.server_close()
        service.close()
        engine.close()


def main() -> None:
    """Run until interrupted."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as athena:
        for name, value in athena.environment.items():
            print(f"export {name}={value}")
        print(f"export CDP_LAKE_URL={athena.lake}/cdp", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
