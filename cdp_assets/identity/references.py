"""What a person typed to name a customer: a record id, a customer id old or new, an identifier.

Here: finding the records that are meant. What was typed may be personal data: no message and no
result repeats it. Not here: what is then said of the records (`explain.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from cdp_assets.errors import PlatformError
from cdp_assets.resources.warehouse import Reader
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


def resolve(reader: Reader, given: Mapping[str, str]) -> list[Reference]:
    """Find the records that each text names, in one query.

    Args:
        reader: of a version of the warehouse.
        given: how messages call a text, for example `The first`, to a record id, a customer id,
            `type:value`, or a bare value of an identifier.

    Raises:
        UnknownReferenceError: nothing is known by one of them, or it is of several types.
    """
    typed = {place: text.strip() for place, text in given.items()}
    readings = [reading for place, text in typed.items() for reading in _readings(place, text)]
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in reader.query(_FIND, {"typed": pa.Table.from_pylist(readings, _TYPED)}).to_pylist():
        found[row["place"], row["found"]].add(row["id"])
    return [
        _reference(
            place, text, {kind: sorted(ids) for (at, kind), ids in found.items() if at == place}
        )
        for place, text in typed.items()
    ]


def email_key(text: str) -> str:
    """The match key of an e-mail address, as the macro `email_match_key` makes it."""
    local, _, domain = unicodedata.normalize("NFC", text.strip().lower()).partition("@")
    local = local.split("+")[0]
    return f"{local.replace('.', '')}@gmail.com" if domain in _GMAIL else f"{local}@{domain}"


_TYPED: Final = pa.schema(
    [(name, pa.string()) for name in ("place", "reading", "identifier_type", "value")]
)


def _readings(place: str, text: str) -> Iterator[dict[str, str | None]]:
    """What a text may be: rows of `_TYPED`."""
    yield {"place": place, "reading": "record", "value": text}
    if _CUSTOMER_ID.fullmatch(text):
        yield {"place": place, "reading": "customer", "value": text}
    prefix, separator, value = text.partition(":")
    given_type = _OTHER_NAMES.get(prefix.lower(), prefix.lower())
    is_typed = bool(separator) and given_type in _TYPES
    value = value.strip() if is_typed else text
    spellings = {value, email_key(value) if "@" in value else value, parse_number(value, None)}
    for spelling in sorted(filter(None, spellings)):
        yield {
            "place": place,
            "reading": "identifier",
            "identifier_type": given_type if is_typed else None,
            "value": spelling,
        }


# What is found by a text, as one of: record, former_record, customer, former_customer, lives_on,
# or a type of identifiers; with the id of a record, for lives_on that of a customer.
_FIND: Final = """
    with records as (select * from typed where reading = 'record'),
    customers as (select * from typed where reading = 'customer'),
    spellings as (select * from typed where reading = 'identifier'),
    former as (
        select
            customers.place, history.record_id, history.valid_to,
            max(history.valid_to) over (partition by customers.place) as last_valid_to
        from customers
        inner join identity.customer_map_history as history
            on customers.value = history.customer_id
    )
    select records.place, 'record' as found, known.record_id as id
    from records
    inner join identity.identity_records as known on records.value = known.record_id
    union all
    select distinct records.place, 'former_record', history.record_id
    from records
    inner join identity.customer_map_history as history on records.value = history.record_id
    union all
    select customers.place, 'customer', mapped.record_id
    from customers
    inner join identity.customer_map as mapped on customers.value = mapped.customer_id
    union all
    select place, 'former_customer', record_id from former
    where valid_to = last_valid_to
    union all
    select customers.place, 'lives_on', redirects.customer_id
    from customers
    inner join identity.customer_redirects as redirects
        on customers.value = redirects.old_customer_id
    union all
    select distinct spellings.place, identifiers.identifier_type, identifiers.record_id
    from spellings
    inner join identity.identifiers as identifiers
        on spellings.value = identifiers.identifier_value
    where
        identifiers.is_current
        and (
            spellings.identifier_type is null
            or spellings.identifier_type = identifiers.identifier_type
        )
"""


def _reference(place: str, text: str, found: Mapping[str, Sequence[str]]) -> Reference:
    """The first of its readings by which something is known."""
    if "record" in found:
        return Reference("record", text, (text,))
    if "former_record" in found:
        return Reference("record", text, (text,), f"{text} is gone from the data.")
    if "customer" in found:
        return Reference("customer", text, tuple(found["customer"]))
    if "former_customer" in found:
        lives_on = found.get("lives_on")
        ended = f"{text} ended in {lives_on[0]}" if lives_on else f"{text} ended"
        note = f"{ended}; meant are the records it had last."
        return Reference("customer", text, tuple(found["former_customer"]), note)
    kinds = sorted(set(found) & set(_TYPES))
    if not kinds:
        raise UnknownReferenceError(
            f"{place} is not known. It may be a record id, a customer id, or an identifier "
            "such as email:…, phone:+… or loyalty_id:… of a record."
        )
    if len(kinds) > 1:
        types = " or ".join(f"{kind}:…" for kind in kinds)
        raise UnknownReferenceError(f"{place} may mean several things: write it as {types}.")
    records = found[kinds[0]]
    count = f"{len(records)} record{'s' * (len(records) > 1)}"
    return Reference("identifier", f"the {kinds[0]} of {count}", tuple(records))
