"""Contracts: what a source entity's objects look like, read from one YAML file each.

Here: the frozen value `Contract`, its strict reader, and the columns of the raw table it makes.
Belongs here: a fact about a contract alone. Not here: reading objects (`parse`), judging
values (`validate`), paths in the lake (`raw`).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import yaml

from cdp_assets.errors import PlatformError

CONTRACT_DIR: Final = Path(__file__).resolve().parent / "contracts"
IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")

Policy = Literal["evolve", "freeze", "discard_row", "discard_value"]
Kind = Literal["csv", "json", "parquet"]
Framing = Literal["lines", "concatenated"]
Compression = Literal["none", "gzip"]
ColumnType = Literal[
    "text", "integer", "decimal", "date", "timestamp", "boolean", "json", "email", "phone"
]
# In order of gravity.
Pii = Literal["none", "pseudonymous", "quasi_identifier", "direct_identifier", "sensitive"]
EpochUnit = Literal["s", "ms"]

_DECIMAL = re.compile(r"decimal\((\d{1,2}),\s?(\d{1,2})\)")
_JSON_PATH = re.compile(r"\$((\.[A-Za-z_][A-Za-z0-9_]*)|(\[\d+\]))+")
# What the engine itself adds to a raw row; a contract may not use these names.
_RESERVED = frozenset({"dt"})


class ContractError(PlatformError):
    """A contract file is wrong; the message names the file, the field and what it takes."""


@dataclass(frozen=True)
class Drift:
    """What to do when an object differs from its contract.

    Attributes:
        table: a declared column that is not optional is absent from the whole object.
        column: an undeclared column (CSV, Parquet) or top-level key (JSON) is there.
        type: a value is not of its column's type, or not one of its allowed values.
    """

    table: Policy
    column: Policy
    type: Policy


@dataclass(frozen=True)
class FileFormat:
    """How bytes become records. Declared, never sniffed.

    Attributes:
        kind: csv, json or parquet.
        framing: JSON only: one object a line, or objects one after another.
        encoding: a Python codec name; a byte-order mark is tolerated for utf-8.
        delimiter: CSV only, one character.
        quote: CSV only, one character; doubled inside a quoted field (RFC 4180).
        compression: none or gzip (concatenated members are one stream).
    """

    kind: Kind
    framing: Framing = "lines"
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    compression: Compression = "none"


@dataclass(frozen=True)
class Column:
    """One column of a contract.

    Attributes:
        name: its name in the raw table.
        paths: CSV or Parquet headers, or JSON paths; the first that is not null counts.
        type: what the text must look like.
        precision: digits of a decimal, else 0.
        scale: digits after the point of a decimal, else 0.
        pii: the class of personal data it holds.
        is_required: a row without it is quarantined.
        is_optional: the whole column may be absent from an object.
        allowed: the values it takes; empty means any.
        on_type_error: overrides the contract's `drift.type`.
        region_column: phone only: the column that names the country of a national number.
        unit: timestamp only: the value is an epoch in seconds or milliseconds.
        timezone: timestamp only: the zone of values that state none.
    """

    name: str
    paths: tuple[str, ...]
    type: ColumnType
    pii: Pii
    precision: int = 0
    scale: int = 0
    is_required: bool = False
    is_optional: bool = False
    allowed: tuple[str, ...] = ()
    on_type_error: Policy | None = None
    region_column: str | None = None
    unit: EpochUnit | None = None
    timezone: str | None = None

    @property
    def origin(self) -> str:
        """Where its values come from, for people: `Email`, or `$.event, $.name`."""
        return ", ".join(self.paths)

    @property
    def derived_name(self) -> str | None:
        """The column that extract adds beside this one, if its type has one."""
        return {"timestamp": f"{self.name}_utc", "phone": f"{self.name}_e164"}.get(self.type)


@dataclass(frozen=True)
class Contract:
    """One source entity: its format, columns, keys and drift policy."""

    source: str
    entity: str
    version: int
    description: str
    owner: str
    format: FileFormat
    dedup_key: tuple[str, ...]
    event_time: str
    drift: Drift
    columns: tuple[Column, ...]
    version_column: str | None = None
    ignored: frozenset[str] = frozenset()

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by name, in contract order."""
        return {column.name: column for column in self.columns}

    @property
    def pii(self) -> dict[str, Pii]:
        """The class of personal data of each raw column that a value of the source reaches."""
        classes: dict[str, Pii] = {}
        for column in self.columns:
            classes[column.name] = column.pii
            if column.derived_name:
                classes[column.derived_name] = column.pii
        return classes

    @property
    def worst_pii(self) -> Pii:
        """The gravest class of personal data in any of its columns."""
        found = {column.pii for column in self.columns}
        return next(pii for pii in reversed(get_args(Pii)) if pii in found)

    @property
    def known_fields(self) -> frozenset[str]:
        """Headers, or top-level JSON keys, that are no drift."""
        paths = (path for column in self.columns for path in column.paths)
        if self.format.kind == "json":
            paths = (re.split(r"[.\[]", path.removeprefix("$."), maxsplit=1)[0] for path in paths)
        return frozenset(paths) | self.ignored

    def policy(self, column: Column) -> Policy:
        """What happens to a value of `column` that fails its type.

        A required value that cannot stay takes its row with it. Text that fails to be a phone
        or an email is still what the customer gave: it is kept.
        """
        if column.type in ("phone", "email") and column.on_type_error is None:
            return "evolve"
        policy = column.on_type_error or self.drift.type
        return "discard_row" if policy == "discard_value" and column.is_required else policy


def load_contracts(directory: Path = CONTRACT_DIR) -> dict[tuple[str, str], Contract]:
    """Read every contract of a folder, keyed by (source, entity).

    Raises:
        ContractError: a file is wrong, or two files speak of one entity.
    """
    contracts: dict[tuple[str, str], Contract] = {}
    for path in sorted(directory.glob("*.yaml")):
        contract = load_contract(path)
        key = (contract.source, contract.entity)
        if path.stem != "__".join(key):
            raise ContractError(f"{path.name}: speaks of {'__'.join(key)}; name the file so.")
        contracts[key] = contract
    return contracts


def contract_of(source: str, entity: str) -> Contract:
    """The contract of one source entity of the platform.

    Raises:
        ContractError: there is no such entity; the message lists those there are.
    """
    contracts = load_contracts()
    if (source, entity) not in contracts:
        known = ", ".join(" ".join(key) for key in contracts)
        raise ContractError(f"There is no contract for {source} {entity}; there are: {known}.")
    return contracts[source, entity]


def load_contract(path: Path) -> Contract:
    """Read one contract file.

    Raises:
        ContractError: naming the file, the field and what the field takes.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise ContractError(f"{path.name}: not YAML: {error}") from error
    contract = _contract(_Fields(path.name, "", document))
    _check_references(path.name, contract)
    return contract


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice, where PyYAML keeps the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is given twice", node.start_mark
            )
        return mapping


class _Fields:
    """The fields of one YAML mapping, taken one by one; what is left over is an error."""

    def __init__(self, file: str, place: str, mapping: object) -> None:
        self._file = file
        self._place = place
        if not isinstance(mapping, Mapping):
            raise self.error("", "takes a mapping of fields")
        self._left = dict(cast(Mapping[str, object], mapping))

    def error(self, field: str, problem: str) -> ContractError:
        where = ".".join(part for part in (self._place, field) if part) or "contract"
        return ContractError(f"{self._file}: {where}: {problem}.")

    def take(self, field: str, kind: type, default: object = ...) -> Any:
        value = self._left.pop(field, default)
        if value is ...:
            raise self.error(field, "is missing")
        if value is not default and (
            not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        ):
            raise self.error(field, f"takes a {kind.__name__}, not {type(value).__name__}")
        return value

    def choice(self, field: str, literal: object, default: object = ...) -> Any:
        options = get_args(literal)
        value = self.take(field, str, default)
        if value is not default and value not in options:
            raise self.error(field, f"takes one of {', '.join(options)}, not {value!r}")
        return value

    def name(self, field: str, default: object = ...) -> Any:
        value = self.take(field, str, default)
        if value is not default and not IDENTIFIER.fullmatch(value):
            raise self.error(field, f"{value!r} must match {IDENTIFIER.pattern}")
        return value

    def texts(self, field: str, default: object = ...) -> tuple[str, ...]:
        values = self.take(field, list, default)
        if values is default:
            return cast(tuple[str, ...], default)
        if not values or not all(isinstance(value, str) and value for value in values):
            raise self.error(field, "takes a list of texts")
        if len(set(values)) != len(values):
            raise self.error(field, "holds a text twice")
        return tuple(values)

    def at(self, place: str) -> _Fields:
        """The same fields, with errors that name `place`."""
        self._place = place
        return self

    def section(self, field: str) -> _Fields:
        return _Fields(self._file, field, self.take(field, dict))

    def sections(self, field: str) -> list[_Fields]:
        items = self.take(field, list)
        return [_Fields(self._file, f"{field}[{i}]", item) for i, item in enumerate(items)]

    def finish(self) -> None:
        if self._left:
            raise self.error(", ".join(map(str, self._left)), "unknown field")


def _contract(fields: _Fields) -> Contract:
    drift = fields.section("drift")
    file_format = _file_format(fields.section("format"))
    contract = Contract(
        source=fields.name("source"),
        entity=fields.name("entity"),
        version=_positive(fields, "version"),
        description=fields.take("description", str),
        owner=fields.take("owner", str),
        format=file_format,
        dedup_key=fields.texts("dedup_key"),
        version_column=fields.name("version_column", None),
        event_time=fields.name("event_time"),
        drift=Drift(**{name: drift.choice(name, Policy) for name in ("table", "column", "type")}),
        ignored=frozenset(fields.texts("ignored", ())),
        columns=tuple(_column(column, file_format.kind) for column in fields.sections("columns")),
    )
    drift.finish()
    fields.finish()
    return contract


def _positive(fields: _Fields, field: str) -> int:
    value = fields.take(field, int)
    if value < 1:
        raise fields.error(field, "takes a whole number from 1")
    return value


def _file_format(fields: _Fields) -> FileFormat:
    kind = fields.choice("kind", Kind)
    made = FileFormat(
        kind=kind,
        framing=fields.choice("framing", Framing, "lines") if kind == "json" else "lines",
        encoding=_encoding(fields) if kind != "parquet" else "utf-8",
        delimiter=_character(fields, "delimiter", ",") if kind == "csv" else ",",
        quote=_character(fields, "quote", '"') if kind == "csv" else '"',
        compression=fields.choice("compression", Compression, "none")
        if kind != "parquet"
        else "none",
    )
    fields.finish()
    return made


def _encoding(fields: _Fields) -> str:
    name = fields.take("encoding", str)
    try:
        "".encode(name)
    except LookupError:
        raise fields.error("encoding", f"{name!r} is no encoding that Python knows") from None
    return name


def _character(fields: _Fields, field: str, default: str) -> str:
    value = fields.take(field, str, default)
    if len(value) != 1 or not value.isascii() or value in "\r\n\0":
        raise fields.error(field, "takes one ASCII character")
    return value


def _column(fields: _Fields, kind: Kind) -> Column:
    name = fields.name("name")
    fields.at(f"columns.{name}")
    column_type, precision, scale = _type(fields)
    column = Column(
        name=name,
        paths=_paths(fields, name, kind),
        type=column_type,
        precision=precision,
        scale=scale,
        pii=fields.choice("pii", Pii),
        is_required=fields.take("required", bool, False),
        is_optional=fields.take("optional", bool, False),
        allowed=fields.texts("allowed", ()),
        on_type_error=fields.choice("on_type_error", Policy, None),
        region_column=fields.name("region_column", None) if column_type == "phone" else None,
        unit=fields.choice("unit", EpochUnit, None) if column_type == "timestamp" else None,
        timezone=fields.take("timezone", str, None) if column_type == "timestamp" else None,
    )
    fields.finish()
    if column.is_required and column.is_optional:
        raise fields.error("required", "a required column cannot be optional")
    if column.is_required and column.on_type_error in ("discard_value", "evolve"):
        raise fields.error("on_type_error", "a required value takes freeze or discard_row")
    return column


def _type(fields: _Fields) -> tuple[ColumnType, int, int]:
    text = fields.take("type", str)
    if match := _DECIMAL.fullmatch(text):
        precision, scale = int(match[1]), int(match[2])
        if not (1 <= precision <= 38 and scale <= precision):
            raise fields.error("type", "takes decimal(p,s) with 1 <= p <= 38 and s <= p")
        return "decimal", precision, scale
    if text not in get_args(ColumnType) or text == "decimal":
        raise fields.error("type", f"{text!r} is no type; decimals are written decimal(18,2)")
    return cast(ColumnType, text), 0, 0


def _paths(fields: _Fields, name: str, kind: Kind) -> tuple[str, ...]:
    value = fields.take("from", object, name)
    paths = tuple(value) if isinstance(value, list) else (value,)
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise fields.error("from", "takes a text or a list of texts")
    if kind == "json" and not all(_JSON_PATH.fullmatch(path) for path in paths):
        raise fields.error("from", "takes JSON paths such as $.mail.destination[0]")
    return paths


def _check_references(file: str, contract: Contract) -> None:
    """Names are unique, and every name that a field mentions is a column."""
    fields = _Fields(file, "", {})
    names = [column.name for column in contract.columns]
    names += [column.derived_name for column in contract.columns if column.derived_name]
    for name in names:
        if names.count(name) > 1 or name in _RESERVED:
            raise fields.error("columns", f"{name} is taken twice or reserved")
    for field, wanted in (
        ("dedup_key", contract.dedup_key),
        ("event_time", (contract.event_time,)),
        ("version_column", (contract.version_column,) if contract.version_column else ()),
        ("region_column", tuple(c.region_column for c in contract.columns if c.region_column)),
    ):
        for name in wanted:
            if name not in contract.by_name:
                raise fields.error(field, f"{name!r} is not one of the columns")
    if contract.by_name[contract.event_time].type != "timestamp":
        raise fields.error("event_time", "names a column of type timestamp")
    for name in contract.dedup_key:
        if not contract.by_name[name].is_required:
            raise fields.error("dedup_key", f"{name} must be a required column")
