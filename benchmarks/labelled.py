"""Labelled files: any table of people with a column that says who each row really is.

Here: reading CSV and Parquet as text, the mapping of their columns to our fields, and what a
careful loader tidies: dates as ISO, phones in one form, numbers without `.0`. What comes out are
raw CRM contacts, one per row, which the platform's own cleansing then normalises.
Not here: running the platform (`matching.py`); and the truth goes nowhere near it.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
from duckdb.func import ARROW, SPECIAL
from duckdb.sqltypes import VARCHAR

from cdp_assets.errors import PlatformError
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.phones import e164, region_of
from cdp_assets.sources.tables import raw_schema

# Our fields, and the CRM column that each becomes. A source and the file's own record id say
# nothing about who somebody is: they may be named, and are left where they are.
FIELDS: Final[Mapping[str, str | None]] = {
    "record_id": None,
    "source": None,
    "first_name": "first_name",
    "last_name": "last_name",
    "dob": "birth_date",
    "gender": "gender",
    "email": "email",
    "phone": "phone",
    "address": "mailing_street",
    "city": "mailing_city",
    "state": "mailing_state",
    "postcode": "mailing_postal_code",
    "national_id": "national_id",
    "loyalty_id": "loyalty_id",
}
CONTACTS: Final = next(
    contract
    for contract in load_contracts().values()
    if (contract.source, contract.entity) == ("crm", "contacts")
)
_PARQUET: Final = (".parquet", ".pq")
# What writers of CSV put where there is nothing. Some of it is a name, too: people called Null.
_NOTHING: Final = ("", "nan", "NaN", "<NA>", "NaT", "\\N")
_NO_VALUE: Final = (*_NOTHING, "None", "null", "NULL", "N/A")
_NAMES: Final = ("first_name", "last_name")
# Spreadsheets and data frames turn whole numbers with gaps into decimals.
_TRUTH: Final = "--truth"
_NUMBERS: Final = (_TRUTH, "dob", "phone", "postcode", "national_id", "loyalty_id")


class LabelledFileError(PlatformError):
    """A file, its truth or the mapping is not as it must be; the message says which and how."""


@dataclass(frozen=True)
class Labelled:
    """Files with one meaning, read as one table.

    Attributes:
        files: CSV or Parquet; several are stacked, columns matched by name.
        truth: column with the true entity of each row; rows without one are matched, not judged.
        mapping: our field to the file's column, or to several as `COLUMN+COLUMN`.
        country: where phones without a country code are from, by name or ISO code; None if unknown.
    """

    files: Sequence[Path]
    truth: str
    mapping: Mapping[str, str]
    country: str | None = None


def parse_mapping(text: str) -> dict[str, str]:
    """Read `field=COLUMN,field=COLUMN`.

    Raises:
        LabelledFileError: a part has no column, or names a field that is unknown or came before.
    """
    mapping: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not (equals and column):
            raise LabelledFileError(f"--map: {part!r} is not of the form field=COLUMN.")
        if field not in FIELDS:
            raise LabelledFileError(
                f"--map: {field!r} is no field of ours; they are {', '.join(FIELDS)}."
            )
        if field in mapping:
            raise LabelledFileError(f"--map: {field!r} is mapped twice; join columns with +.")
        mapping[field] = column
    if not any(FIELDS[field] for field in mapping):
        raise LabelledFileError("--map: no field that says who somebody is.")
    return mapping


def load(labelled: Labelled, connection: duckdb.DuckDBPyConnection) -> int:
    """Make the tables `contacts` (raw CRM contacts) and `truth` (record_id, entity) of the files.

    Returns:
        The number of rows.

    Raises:
        LabelledFileError: a file cannot be read, or lacks a column.
    """
    _stack(labelled, connection)
    _tidy_dates(connection, "dob" in labelled.mapping)
    _add_phones(connection, labelled)
    connection.execute(f"create table contacts as {_contacts_sql(labelled)}")
    connection.execute(
        """
        create table truth as
        select 'crm:contact:' || number as record_id, truth as entity
        from people where truth is not null
        """
    )
    rows, judged = connection.execute(
        "select (select count(*) from people), (select count(*) from truth)"
    ).fetchone() or (0, 0)
    connection.execute("drop table people; drop table birth_dates; drop table phones")
    if not judged:
        raise LabelledFileError(f"The truth column {labelled.truth!r} is empty in every row.")
    return rows


# --- Reading --------------------------------------------------------------------------------------


def _stack(labelled: Labelled, connection: duckdb.DuckDBPyConnection) -> None:
    """Table `people`: number, truth, and the mapped fields as tidy text."""
    columns = {path: _open(connection, path, place) for place, path in enumerate(labelled.files)}
    wanted = {_TRUTH: labelled.truth, **labelled.mapping}
    known = {name for names in columns.values() for name in names}
    parts = {field: _parts(column, known) for field, column in wanted.items()}
    for field, found in parts.items():
        missing = [column for column in found if _find(column, known) is None]
        if missing:
            raise LabelledFileError(
                f"{field}: there is no column {', '.join(missing)} in "
                f"{', '.join(path.name for path in labelled.files)}; "
                f"the columns are {', '.join(sorted(known))}."
            )
    selects = []
    for place, names in enumerate(columns.values()):
        fields = [
            f"{_joined(found, names, field)} as {_quoted(field)}" for field, found in parts.items()
        ]
        selects.append(f"select {', '.join(fields)}, {place} as file, place from file_{place}")
    connection.execute(
        f"""
        create table people as
        select row_number() over (order by file, place) as number, "{_TRUTH}" as truth,
            * exclude ("{_TRUTH}", file, place)
        from ({" union all ".join(selects)})
        """
    )


def _open(connection: duckdb.DuckDBPyConnection, path: Path, place: int) -> list[str]:
    """Make the view `file_<place>` of a file, and return its columns."""
    if not path.is_file():
        raise LabelledFileError(f"There is no file {path}.")
    name = str(path).replace("'", "''")
    if path.suffix.lower() in _PARQUET:
        reader = f"read_parquet('{name}', file_row_number = true)"
        rows = f"select * exclude (file_row_number), file_row_number as place from {reader}"
    else:
        reader = (
            f"read_csv('{name}', delim = '{_delimiter(path)}', header = true, all_varchar = true, "
            "quote = '\"', escape = '\"', auto_detect = false, columns = "
        )
        names = _header(path)
        reader += "{" + ", ".join(f"{_literal(one)}: 'VARCHAR'" for one in names) + "})"
        rows = f"select *, row_number() over () as place from {reader}"
    try:
        connection.execute(f"create temp view file_{place} as {rows}")
        columns = connection.execute(f"describe file_{place}").fetchall()
        connection.execute(f"select count(columns(*)) from file_{place}")
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise LabelledFileError(f"{path.name} cannot be read: {reason}") from error
    return [column for column, *_ in columns if column != "place"]


def _delimiter(path: Path) -> str:
    header = _first_line(path)
    return max(",;\t|", key=header.count)


def _header(path: Path) -> list[str]:
    names = next(csv.reader([_first_line(path)], delimiter=_delimiter(path)), [])
    names = [name.strip().strip('"') for name in names]
    if len({name.lower() for name in names}) < len(names) or not all(names):
        raise LabelledFileError(f"{path.name}: its first line must name each column once.")
    return names


def _first_line(path: Path) -> str:
    reader = gzip.open if path.suffix == ".gz" else open
    try:
        with reader(path, "rt", encoding="utf-8-sig") as file:
            return str(file.readline())
    except UnicodeDecodeError as error:
        raise LabelledFileError(f"{path.name} is no UTF-8 text.") from error


def _parts(column: str, known: set[str]) -> list[str]:
    """The columns that `COLUMN+COLUMN` names; a column may have a plus in its own name."""
    return [column] if _find(column, known) else [part.strip() for part in column.split("+")]


def _find(column: str, names: set[str] | list[str]) -> str | None:
    """The column of this name; capitals count only where nothing else tells two apart."""
    if column in names:
        return column
    alike = [name for name in names if name.lower() == column.lower()]
    return alike[0] if len(alike) == 1 else None


def _joined(columns: Sequence[str], names: list[str], field: str) -> str:
    """SQL of a field from these columns of one file; NULL where it has none of them."""
    found = [name for column in columns if (name := _find(column, names))]
    values = [_value(name, field) for name in found]
    if len(columns) == 1:
        return values[0] if values else "cast(null as varchar)"
    return f"nullif(concat_ws(' ', {', '.join(values) or 'null'}), '')"


def _value(column: str, field: str) -> str:
    text = f"trim(cast({_quoted(column)} as varchar))"
    if field in _NUMBERS:
        text = rf"regexp_replace({text}, '^(\d+)\.0+$', '\1')"
    nothing = ", ".join(map(_literal, _NOTHING if field in _NAMES else _NO_VALUE))
    return f"case when {text} not in ({nothing}) then {text} end"


# --- Tidying --------------------------------------------------------------------------------------

# Eight digits are a date from either end; what is no century of ours tells which.
_YEAR_FIRST: Final = r"^(\d{4})[-/. ](\d{1,2})[-/. ](\d{1,2})(?:[ T].*)?$"
_YEAR_LAST: Final = r"^(\d{1,2})[-/. ](\d{1,2})[-/. ]((?:18|19|20)\d\d)$"
_IN_WORDS: Final = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y")


def _tidy_dates(connection: duckdb.DuckDBPyConnection, is_mapped: bool) -> None:
    """Table `birth_dates`: number, birth_date (ISO text).

    Whether 03/04/1990 is in March or in April, the column tells: by the majority of its dates that
    can be read one way only. A date that cannot be read that way is read the other way. Where no
    date tells, either reading serves: dates are only compared with each other.
    """
    source = "select number, dob from people where dob is not null"
    if not is_mapped:
        source = "select number, cast(null as varchar) as dob from people where false"
    connection.execute(
        rf"""
        create table birth_dates as
        with dates as (
            select number, dob,
                regexp_extract(
                    regexp_replace(dob, '^(\d{{4}})(\d\d)(\d\d)$', '\1-\2-\3'),
                    '{_YEAR_FIRST}', ['y', 'm', 'd']
                ) as iso,
                regexp_extract(
                    regexp_replace(dob, '^(\d\d)(\d\d)(\d{{4}})$', '\1/\2/\3'),
                    '{_YEAR_LAST}', ['a', 'b', 'y']
                ) as parts
            from ({source})
        ),
        counted as (
            select coalesce(
                count(*) filter (where try_cast(parts.a as int) > 12)
                > count(*) filter (where try_cast(parts.b as int) > 12), false
            ) as is_day_first
            from dates where dob not similar to '\d{{8}}'
        ),
        read as (
            select
                number,
                try_cast(iso.y || '-' || iso.m || '-' || iso.d as date) as year_first,
                try_cast(parts.y || '-' || parts.b || '-' || parts.a as date) as day_first,
                try_cast(parts.y || '-' || parts.a || '-' || parts.b as date) as month_first,
                try_cast(try_strptime(dob, {list(_IN_WORDS)}) as date) as in_words,
                is_day_first
            from dates cross join counted
        )
        select number, cast(coalesce(
            year_first,
            case when is_day_first then day_first else month_first end,
            month_first,
            day_first,
            in_words
        ) as varchar) as birth_date
        from read
        """
    )


def _add_phones(connection: duckdb.DuckDBPyConnection, labelled: Labelled) -> None:
    """Table `phones`: number, phone_e164.

    As the extract does where the country is known, by its code or by `country`; elsewhere the
    digits alone, which compare well enough within one file.
    """
    if labelled.country and region_of(labelled.country) is None:
        raise LabelledFileError(f"--country: {labelled.country!r} is not in the list of countries.")
    source = "select number, phone from people where phone is not null"
    if "phone" not in labelled.mapping:
        source = "select number, cast(null as varchar) as phone from people where false"
    connection.create_function(
        "e164", _numbers_of(labelled.country), [VARCHAR], VARCHAR, type=ARROW, null_handling=SPECIAL
    )
    digits = r"nullif(regexp_replace(plain, '\D', '', 'g'), '')"
    connection.execute(
        rf"""
        create table phones as
        select number, coalesce(
            case when plain like '+%' or {bool(labelled.country)} then e164(plain) end,
            case when length({digits}) >= 6 then {digits} end
        ) as phone_e164
        from (
            select
                number,
                regexp_replace(
                    regexp_replace(lower(phone), '\s*(x|ext\.?|#)\s*\d+$', ''), '^\s*00', '+'
                ) as plain
            from ({source})
        )
        """
    )
    connection.remove_function("e164")


def _numbers_of(country: str | None):
    def numbers(texts: pa.ChunkedArray) -> pa.Array:
        return e164(texts, pa.chunked_array([pa.array([country] * len(texts), pa.string())]))

    return numbers


# --- Raw contacts ---------------------------------------------------------------------------------


def _contacts_sql(labelled: Labelled) -> str:
    """SELECT of the columns of a raw contact, in their order; one contact per row of `people`."""
    moment = "timestamp '2020-01-01 00:00:00'"
    values = {
        "contact_id": "cast(people.number as varchar)",
        "birth_date": "birth_date",
        "phone_e164": "phone_e164",
        "mailing_country": _literal(labelled.country) if labelled.country else "null",
        "is_deleted": "'false'",
        # Nothing tells which row is older.
        "created_at_utc": moment,
        "modified_at_utc": moment,
        "created_at": "'2020-01-01T00:00:00Z'",
        "modified_at": "'2020-01-01T00:00:00Z'",
        "_object_key": "'landing/crm/contacts/dt=2020-01-01/labelled'",
        "_object_version": "'1'",
        "_line": "people.number",
        "_load_id": "1",
        "_loaded_at": moment,
        "_contract_version": str(CONTACTS.version),
    }
    mapped = {
        column: f"people.{_quoted(field)}"
        for field, column in FIELDS.items()
        if column and field in labelled.mapping
    }
    values = {**mapped, **values}
    contents = [values[column.name] for column in CONTACTS.columns if column.name in values]
    values["_row_hash"] = f"md5(concat_ws(chr(31), {', '.join(contents)}))"
    columns = [
        f"cast({values.get(field.name, 'null')} as {_SQL_TYPES[str(field.type)]}) as {field.name}"
        for field in raw_schema(CONTACTS)
    ]
    return f"""
        select {", ".join(columns)}
        from people
        left join birth_dates on people.number = birth_dates.number
        left join phones on people.number = phones.number
    """


_SQL_TYPES: Final = {
    "string": "varchar",
    "int32": "integer",
    "int64": "bigint",
    "timestamp[us]": "timestamp",
}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
