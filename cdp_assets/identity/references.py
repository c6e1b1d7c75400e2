"""What a person typed to name a customer: a record id, a customer id old or new, an identifier.

Here: finding the records that are meant. What was typed may be personal data: no message and no
result repeats it. Not here: what is then said of the records (`explain.py`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

import duckdb

from cdp_assets.errors import PlatformError
from cdp_assets.sources.phones import parse_number

_CUSTOMER_ID: Final = re.compile(r"c_[0-9a-f]{20}")
_OTHER_NAMES: Final = {"loyalty": "loyalty_id", "user": "user_id", "device": "device_id"}
_TYPES: Final = ("email", "phone", "loyalty_id", "user_id", "card_token", "device_id", "crm_id")
_GMAIL: Final = ("gmail.com", "googlemail.com")


class UnknownReferenceError(PlatformError):
    """Nothing is known by that name, or it may mean two things; the value is not repeated."""


@dataclass(frozen=True)
class Reference:
    """The records that somebody meant.

    Attributes:
        kind: what was typed.
        name: how to call it without personal data: an id, or `an email of 3 records`.
        records: record ids, ascending; never empty.
        note: what the reader should know about it, or None.
    """

    kind: Literal["record", "customer", "identifier"]
    name: str
    records: tuple[str, ...]
    note: str | None = None


def resolve(connection: duckdb.DuckDBPyConnection, text: str, place: str) -> Reference:
    """Find the records that `text` names.

    Args:
        connection: a version of the warehouse.
        text: a record id, a customer id, `type:value`, or a bare value of an identifier.
        place: how messages call it, for example `The first`.

    Raises:
        UnknownReferenceError: nothing is known by it, or it is of several types.
    """
    text = text.strip()
    found = _record(connection, text) or _customer(connection, text)
    return found or _identifier(connection, text, place)


def email_key(text: str) -> str:
    """The match key of an e-mail address, as the macro `email_match_key` makes it."""
    local, _, domain = unicodedata.normalize("NFC", text.strip().lower()).partition("@")
    local = local.split("+")[0]
    return f"{local.replace('.', '')}@gmail.com" if domain in _GMAIL else f"{local}@{domain}"


def _record(connection: duckdb.DuckDBPyConnection, text: str) -> Reference | None:
    if _rows(connection, "select 1 from identity.identity_records where record_id = ?", text):
        return Reference("record", text, (text,))
    if _rows(connection, "select 1 from identity.customer_map_history where record_id = ?", text):
        return Reference("record", text, (text,), f"{text} is gone from the data.")
    return None


def _customer(connection: duckdb.DuckDBPyConnection, text: str) -> Reference | None:
    if not _CUSTOMER_ID.fullmatch(text):
        return None
    living = _rows(
        connection, "select record_id from identity.customer_map where customer_id = ?", text
    )
    if living:
        return Reference("customer", text, living)
    former = _rows(
        connection,
        """
        select record_id from identity.customer_map_history where customer_id = ?
        qualify valid_to = max(valid_to) over ()
        """,
        text,
    )
    if not former:
        return None
    lives_on = _rows(
        connection,
        "select customer_id from identity.customer_redirects where old_customer_id = ?",
        text,
    )
    ended = f"{text} ended in {lives_on[0]}" if lives_on else f"{text} ended"
    return Reference("customer", text, former, f"{ended}; meant are the records it had last.")


def _identifier(connection: duckdb.DuckDBPyConnection, text: str, place: str) -> Reference:
    prefix, separator, value = text.partition(":")
    given_type = _OTHER_NAMES.get(prefix.lower(), prefix.lower())
    is_typed = bool(separator) and given_type in _TYPES
    value = value.strip() if is_typed else text
    spellings = {value, email_key(value) if "@" in value else value, parse_number(value, None)}
    rows = connection.execute(
        """
        select identifier_type, list(distinct record_id order by record_id)
        from identity.identifiers
        where is_current and list_contains($spellings, identifier_value)
            and ($type is null or identifier_type = $type)
        group by identifier_type order by identifier_type
        """,
        {"spellings": sorted(spellings - {None}), "type": given_type if is_typed else None},
    ).fetchall()
    if not rows:
        raise UnknownReferenceError(
            f"{place} is not known. It may be a record id, a customer id, or an identifier "
            "such as email:…, phone:+… or loyalty_id:… of a record."
        )
    if len(rows) > 1:
        types = " or ".join(f"{kind}:…" for kind, _ in rows)
        raise UnknownReferenceError(f"{place} may mean several things: write it as {types}.")
    kind, records = rows[0]
    count = f"{len(records)} record{'s' * (len(records) > 1)}"
    return Reference("identifier", f"the {kind} of {count}", tuple(records))


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, value: str) -> tuple[str, ...]:
    return tuple(sorted(str(row[0]) for row in connection.execute(sql, [value]).fetchall()))
