"""What is kept of an error that nobody foresaw: its kind and its lines of code, and not its text.

Arrow, JSON and Python itself quote what they could not read, and Dagster keeps the text of every
error in its event log, which no erasure reaches. Our own errors repeat no value and stay as they
are; DuckDB's are put into words in `resources/sql_errors`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from cdp_assets.errors import PlatformError

_OF_DAGSTER = (dg.DagsterError, dg.Failure, dg.RetryRequested)


class UnforeseenError(Exception):
    """An error without its text; its class has the name of the error's own."""


def discreet(step: Callable[..., Any]) -> Callable[..., Any]:
    """Let what a step computes fail without telling Dagster the text of an unforeseen error.

    Args:
        step: the function below `@dg.asset` and the like, or a generator function.
    """

    @functools.wraps(step)
    def returning(*arguments: Any, **named: Any) -> Any:
        with _texts_kept_back():
            return step(*arguments, **named)

    @functools.wraps(step)
    def yielding(*arguments: Any, **named: Any) -> Iterator[Any]:
        with _texts_kept_back():
            yield from step(*arguments, **named)

    return yielding if inspect.isgeneratorfunction(step) else returning


@contextmanager
def _texts_kept_back() -> Iterator[None]:
    try:
        yield
    except (PlatformError, *_OF_DAGSTER):
        raise
    except Exception as error:  # noqa: BLE001 - none is hidden: all are raised again
        alike = type(type(error).__name__, (UnforeseenError,), {})
        text = "Its text may repeat a value of a record and is not kept; see the lines of code."
        raise alike(text).with_traceback(error.__traceback__) from None
