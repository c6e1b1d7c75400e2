"""What dbt may tell of an error on Athena: its kind, and no value that it repeats.

dbt hands an error's text on to its log, and from there to Dagster's event log. The whole text stays
with Athena, beside the statement. Not here: the same for DuckDB (`confined.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from dbt.adapters.athena.connections import AthenaConnectionManager
from dbt.adapters.athena.exceptions import AthenaError
from dbt_common.exceptions import DbtDatabaseError, DbtRuntimeError

from cdp_assets.resources.aws import kind_of

# They are about the call, not about rows.
_WITHOUT_VALUES: Final = (BotoCoreError, ClientError)


def keep_values_back() -> None:
    """Put errors into words without values; dbt-athena has no place of its own for that."""
    AthenaConnectionManager.exception_handler = _exception_handler


@contextmanager
def _exception_handler(self: Any, sql: str) -> Iterator[None]:
    try:
        yield
    except AthenaError as error:
        # dbt-athena itself looks for some of these words, TOO_MANY_OPEN_PARTITIONS for example.
        raise DbtDatabaseError(f"{kind_of(str(error))}. Look at it in the Athena console") from None
    except DbtRuntimeError:
        raise
    except _WITHOUT_VALUES as error:
        raise DbtDatabaseError(str(error)) from None
    except Exception as error:  # noqa: BLE001 - none is hidden: all are raised again
        raise DbtDatabaseError(f"{type(error).__name__} while a statement ran") from None
