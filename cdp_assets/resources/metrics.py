"""Numbers about runs, for graphs and alarms.

Here: the interface and one class per back end. A measure is a number under a name, of the tenant or
of one of its sources: never of a person.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

NAMESPACE: Final = "CDP"
# What one PutMetricData takes.
_AT_ONCE: Final = 1_000

_log = logging.getLogger("cdp.metrics")


@dataclass(frozen=True)
class Measure:
    """A number that was measured.

    Attributes:
        name: in CamelCase, as CloudWatch shows it.
        value: the number.
        unit: of the number.
        source: that it is about, or None for the whole tenant.
    """

    name: str
    value: float
    unit: Literal["Count", "Seconds"] = "Count"
    source: str | None = None


class Metrics(Protocol):
    """Where numbers are kept over time."""

    def put(self, measures: Sequence[Measure]) -> None:
        """Keep these, as of now."""
        ...


class LogMetrics:
    """Writes each number to the log."""

    def put(self, measures: Sequence[Measure]) -> None:
        """Keep these, as of now."""
        for measure in measures:
            name = f"{measure.name} of {measure.source}" if measure.source else measure.name
            _log.info("%s: %s %s", name, measure.value, measure.unit)


class CloudWatchMetrics:
    """Sends them to CloudWatch, in the namespace CDP.

    Args:
        client: of boto3, for CloudWatch.
        tenant: the first dimension of every number.
    """

    def __init__(self, client: Any, tenant: str) -> None:
        self._client = client
        self._tenant = tenant

    def put(self, measures: Sequence[Measure]) -> None:
        """Keep these, as of now."""
        for start in range(0, len(measures), _AT_ONCE):
            self._client.put_metric_data(
                Namespace=NAMESPACE,
                MetricData=[self._datum(each) for each in measures[start : start + _AT_ONCE]],
            )

    def _datum(self, measure: Measure) -> dict[str, Any]:
        dimensions = {"tenant": self._tenant}
        if measure.source:
            dimensions["source"] = measure.source
        return {
            "MetricName": measure.name,
            "Value": measure.value,
            "Unit": measure.unit,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        }
