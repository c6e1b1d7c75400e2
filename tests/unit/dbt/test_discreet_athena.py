"""What dbt tells of an error on Athena."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from dbt.adapters.athena.connections import AthenaConnectionManager
from dbt.adapters.athena.exceptions import AthenaQueryFailedError
from dbt_common.exceptions import DbtRuntimeError

from cdp_assets.dbt.discreet_athena import keep_values_back

pytestmark = pytest.mark.fault("F44")

DENIED = ClientError(
    {"Error": {"Code": "AccessDenied", "Message": "no athena:StartQueryExecution"}}, "Start"
)
NOT_A_NUMBER = "INVALID_CAST_ARGUMENT: Cannot cast 'ann@x.org' to INT"
TOO_MANY = "TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AthenaQueryFailedError({}, NOT_A_NUMBER), "INVALID_CAST_ARGUMENT"),
        (AthenaQueryFailedError({"ErrorMessage": TOO_MANY}), "TOO_MANY_OPEN_PARTITIONS"),
        (ValueError("Could not parse timestamp 'ann@x.org'"), "ValueError"),
        (DENIED, "no athena:StartQueryExecution"),
        (DbtRuntimeError("Compilation Error"), "Compilation Error"),
    ],
    ids=["value", "kind that dbt-athena looks for", "python", "denied", "dbt"],
)
def test_an_error_is_told_without_the_value_it_repeats(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
):
    monkeypatch.setattr(
        AthenaConnectionManager, "exception_handler", AthenaConnectionManager.exception_handler
    )
    keep_values_back()
    manager = AthenaConnectionManager.__new__(AthenaConnectionManager)
    with pytest.raises(DbtRuntimeError, match=told) as raised, manager.exception_handler("select"):
        raise error
    assert "ann@x.org" not in str(raised.value)
    assert raised.value.__cause__ is None
