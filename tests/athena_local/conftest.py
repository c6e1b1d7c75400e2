"""How to ask the local Athena server (`tests/conftest.py` starts it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from tests.athena_local.server import REGION, LocalAthena


@dataclass(frozen=True)
class Asker:
    """Statements through boto3, as any client would send them."""

    athena: LocalAthena
    client: Any
    database: str = "db"

    def start(self, sql: str, **more: Any) -> str:
        """Start a statement; gives its id."""
        return self.client.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": self.database},
            ResultConfiguration={"OutputLocation": f"{self.athena.lake}/results/"},
            **more,
        )["QueryExecutionId"]

    def end(self, query_id: str) -> dict[str, Any]:
        """What GetQueryExecution says of a statement once it has ended."""
        while True:
            asked = self.client.get_query_execution(QueryExecutionId=query_id)
            execution = asked["QueryExecution"]
            if execution["Status"]["State"] not in ("QUEUED", "RUNNING"):
                return execution

    def run(self, sql: str) -> dict[str, Any]:
        """Run a statement that must succeed."""
        execution = self.end(self.start(sql))
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        return execution

    def failure(self, sql: str) -> str:
        """The reason of a statement that must fail."""
        execution = self.end(self.start(sql))
        assert execution["Status"]["State"] == "FAILED", sql
        return execution["Status"]["StateChangeReason"]

    def rows(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of a SELECT as text, without the header."""
        query_id = self.run(sql)["QueryExecutionId"]
        pages = self.client.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
        listed = [row["Data"] for page in pages for row in page["ResultSet"]["Rows"]]
        return [tuple(one.get("VarCharValue") for one in row) for row in listed[1:]]

    def value(self, expression: str) -> str | None:
        """The text of one expression."""
        return self.rows(f"select {expression}")[0][0]


@pytest.fixture(scope="session")
def ask(athena: LocalAthena) -> Asker:
    """Statements in the database `db`, which is there."""
    asker = Asker(athena, boto3.client("athena", region_name=REGION))
    asker.run("create schema if not exists db")
    return asker


@pytest.fixture
def place(athena: LocalAthena, request: pytest.FixtureRequest) -> str:
    """A folder of the lake for one test."""
    return f"{athena.lake}/{request.node.name.split('[')[0]}"
