"""Types as DuckDB, Athena, Hive and Arrow name them, and values as Athena writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tests.athena_local.errors import AthenaFailure, not_here


@dataclass(frozen=True)
class ResultColumn:
    """One column of a result.

    Attributes:
        name: in lower case, as Trino answers.
        duck: DuckDB's type, which keeps the precision of moments.
    """

    name: str
    duck: str

    @property
    def athena(self) -> str:
        """The name in GetQueryResults."""
        return athena_type(self.duck)

    @property
    def info(self) -> dict[str, Any]:
        """The column in GetQueryResults."""
        precision, scale = _SIZES.get(self.athena, (0, 0))
        if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", self.duck):
            precision, scale = int(match[1]), int(match[2])
        return {
            "CatalogName": "hive",
            "SchemaName": "",
            "TableName": "",
            "Name": self.name,
            "Label": self.name,
            "Type": self.athena,
            "Precision": precision,
            "Scale": scale,
            "Nullable": "UNKNOWN",
            "CaseSensitive": self.athena == "varchar",
        }


_SIZES: Final = {
    "varchar": (2147483647, 0),
    "bigint": (19, 0),
    "integer": (10, 0),
    "smallint": (5, 0),
    "tinyint": (3, 0),
    "double": (17, 0),
    "float": (17, 0),
    "timestamp": (3, 0),
}
_SIMPLE: Final = {
    "VARCHAR": "varchar",
    "BIGINT": "bigint",
    "HUGEINT": "bigint",
    "INTEGER": "integer",
    "SMALLINT": "smallint",
    "TINYINT": "tinyint",
    "DOUBLE": "double",
    "FLOAT": "float",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "TIME": "time",
    "BLOB": "varbinary",
    "JSON": "json",
    "UUID": "uuid",
    "INTERVAL": "interval day to second",
    "NULL": "unknown",
    '"NULL"': "unknown",
}


def athena_type(duck: str) -> str:
    """Athena's name of a DuckDB type in a result."""
    if duck in _SIMPLE:
        return _SIMPLE[duck]
    if duck.startswith("DECIMAL"):
        return "decimal"
    if duck.endswith("]"):
        return "array"
    if duck.startswith(("STRUCT", "TUPLE")):
        return "row"
    if duck.startswith("MAP"):
        return "map"
    raise not_here(f"results of DuckDB's type {duck}")


def trino_type(duck: str) -> str:
    """Trino's name of a DuckDB type, as views keep it."""
    moments = {"TIMESTAMP": "timestamp(6)", "TIMESTAMP_MS": "timestamp(3)"}
    if duck.startswith("DECIMAL"):
        return duck.lower()
    if duck.endswith("[]"):
        return f"array({trino_type(duck[:-2])})"
    return moments.get(duck, "real" if duck == "FLOAT" else athena_type(duck))


def hive_type(duck: str) -> str:
    """Hive's name of a DuckDB type, as Glue keeps it."""
    names = {"VARCHAR": "string", "INTEGER": "int", "BLOB": "binary", "JSON": "string"}
    if duck in names:
        return names[duck]
    if duck.startswith("DECIMAL"):
        return duck.lower()
    if duck.endswith("[]"):
        return f"array<{hive_type(duck[:-2])}>"
    name = athena_type(duck)
    if name in ("unknown", "timestamp with time zone", "row", "map"):
        raise AthenaFailure("NOT_SUPPORTED", f"Unsupported Hive type: {trino_type(duck)}")
    return name


def narrow(rows: pa.Table, columns: list[ResultColumn]) -> pa.Table:
    """Sums of whole numbers, which DuckDB makes wider than Trino, as bigint.

    Raises:
        AthenaFailure: one of them is out of range.
    """
    for place, column in enumerate(columns):
        if column.duck != "HUGEINT":
            continue
        try:
            values = rows.column(place).cast(pa.decimal128(38, 0)).cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise AthenaFailure("NUMERIC_VALUE_OUT_OF_RANGE", "bigint addition overflow") from error
        rows = rows.set_column(place, rows.schema.field(place).name, values)
    return rows


def texts(rows: pa.Table, columns: list[ResultColumn]) -> list[list[str | None]]:
    """The values as GetQueryResults and the CSV object have them."""
    written = []
    for place, column in enumerate(columns):
        write = writer(column.duck)
        values = rows.column(place).to_pylist()
        written.append([None if value is None else write(value) for value in values])
    return [list(row) for row in zip(*written, strict=True)]


def writer(duck: str) -> Callable[[Any], str]:
    """How a value of a type is written; not called for NULL."""
    plain: dict[str, Callable[[Any], str]] = {
        "BOOLEAN": lambda value: "true" if value else "false",
        "DOUBLE": java_double,
        "FLOAT": lambda value: java_double(float(str(np.float32(value)))),
        "TIMESTAMP": lambda value: f"{value:%Y-%m-%d %H:%M:%S.%f}",
        "TIMESTAMP_MS": lambda value: f"{value:%Y-%m-%d %H:%M:%S.%f}"[:-3],
        "TIMESTAMP_S": lambda value: f"{value:%Y-%m-%d %H:%M:%S}",
        "TIMESTAMP WITH TIME ZONE": lambda value: f"{value:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC",
        "BLOB": lambda value: " ".join(f"{byte:02x}" for byte in value),
    }
    if duck in plain:
        return plain[duck]
    return _nested if duck.endswith("]") or duck.startswith(("STRUCT", "TUPLE", "MAP")) else str


def _nested(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        if value and all(isinstance(one, tuple) for one in value):
            return "{" + ", ".join(f"{_nested(k)}={_nested(v)}" for k, v in value) + "}"
        return "[" + ", ".join(_nested(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_nested(one)}" for key, one in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return java_double(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    return str(value) if isinstance(value, (str, int, date, Decimal)) else repr(value)


def java_double(value: float) -> str:
    """Java's Double.toString: 1.0, 1.0E10, 1.0E-5."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = f"{Decimal(repr(value)):f}"
        return text if "." in text else f"{text}.0"
    digits, exponent = f"{Decimal(repr(value)):e}".split("e")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{digits if '.' in digits else digits + '.0'}E{int(exponent)}"
