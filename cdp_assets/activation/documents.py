"""A profile as the store holds it: its SQL, and the JSON that comes of the rows.

Here: which columns are served, the content hash that tells whether anything of them changed, and
the entries of some customers. The SQL is Trino's, in words that every engine class understands.
Not here: comparing and writing (`sync`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from cdp_assets.activation.aliases import alias
from cdp_assets.resources.profile_store import Entry
from cdp_assets.resources.warehouse import Reader, text_constant

PROFILE_COLUMNS: Final = tuple(
    """
    profile_type first_name last_name full_name birth_date gender email phone_e164 street city state
    postal_code country_code first_seen_at last_seen_at record_count source_count sources
    """.split()
)
TRAIT_COLUMNS: Final = tuple(
    """
    currency lifetime_value average_order_value order_count return_count other_currency_order_count
    first_purchase_at last_purchase_at last_seen_at contact_center_last_seen_at email_last_seen_at
    mobile_last_seen_at pos_last_seen_at web_last_seen_at preferred_channel preferred_store_id
    preferred_category event_count page_view_count support_contact_count email_send_count
    email_open_count email_click_count
    """.split()
)
# In the content hash: raise it when the document changes its shape, and every profile is renewed.
_VERSION: Final = "1"

# Deleted at every source: published, so that it can be explained, and not served.
_SERVED: Final = """
    served as (
        select * from profile.customer_profiles
        where not is_deleted
    )
"""
# An identifier that several customers gave says of none who it is.
_IDENTIFIERS: Final = """
    identifiers as (
        select
            given.customer_id,
            given.identifier_type,
            given.identifier_value,
            count(*) over (
                partition by given.identifier_type, given.identifier_value
            ) as customer_count
        from profile.customer_identifiers as given
        inner join served on given.customer_id = served.customer_id
    )
"""


def content_sql(key_version: str) -> str:
    """SELECT of `customer_id, kind, content_hash`: all that the store should hold.

    Args:
        key_version: of the key of the aliases.
    """
    cells = [
        f"'{_VERSION} {key_version}'",
        *(_cell(f"served.{name}") for name in PROFILE_COLUMNS),
        *(_cell(f"traits.{name}") for name in TRAIT_COLUMNS),
        "coalesce(listed.identifiers, '')",
    ]
    identifier = _joined(
        [
            "identifier_type",
            "identifier_value",
            "case when customer_count > 1 then 'shared' else 'own' end",
        ]
    )
    return f"""
        with {_SERVED},
        {_IDENTIFIERS},
        listed as (
            select
                customer_id,
                array_join(
                    array_agg({identifier} order by identifier_type, identifier_value), chr(30)
                ) as identifiers
            from identifiers
            group by customer_id
        )
        select
            served.customer_id,
            'profile' as kind,
            lower(to_hex(md5(to_utf8({_joined(cells)})))) as content_hash
        from served
        left join profile.customer_traits as traits on served.customer_id = traits.customer_id
        left join listed on served.customer_id = listed.customer_id
        union all
        select old_customer_id, 'redirect', customer_id
        from identity.customer_redirects
        where old_customer_id not in (select customer_id from profile.customer_profiles)
    """


def count_sql() -> str:
    """SELECT of `n`: how many profiles the store should hold."""
    return f"with {_SERVED} select count(*) as n from served"


def some_sql(count: int) -> str:
    """SELECT of `customer_id`: so many of those that the store should hold."""
    return f"with {_SERVED} select customer_id from served order by customer_id limit {count}"


def profile_entries(reader: Reader, hashes: dict[str, str], which: str, key: bytes) -> list[Entry]:
    """The entries of some customers as they are published.

    Args:
        reader: of the published version.
        hashes: customer id -> content hash, of the customers that are wanted.
        which: condition on `customer_id` that gives at least those.
        key: of the aliases.
    """
    profiles = _rows(reader, "profile.customer_profiles", PROFILE_COLUMNS, which)
    traits = _rows(reader, "profile.customer_traits", TRAIT_COLUMNS, which)
    identifiers: dict[str, list[dict[str, Any]]] = {}
    for row in reader.query(_identifiers_sql(which)).to_pylist():
        identifiers.setdefault(row.pop("customer_id"), []).append(row)
    return [
        _entry(customer_id, content_hash, profiles, traits, identifiers.get(customer_id, []), key)
        for customer_id, content_hash in hashes.items()
        if customer_id in profiles
    ]


def ids_in(customer_ids: Iterable[str]) -> str:
    """The condition that `customer_id` is one of these."""
    return f"customer_id in ({', '.join(map(text_constant, customer_ids))})"


def ids_between(first: str, last: str) -> str:
    """The condition that `customer_id` is not less than the first and not more than the last."""
    return f"customer_id >= {text_constant(first)} and customer_id <= {text_constant(last)}"


def _entry(
    customer_id: str,
    content_hash: str,
    profiles: dict[str, dict[str, Any]],
    traits: dict[str, dict[str, Any]],
    identifiers: Sequence[dict[str, Any]],
    key: bytes,
) -> Entry:
    document = {
        "customer_id": customer_id,
        "profile": profiles[customer_id],
        "traits": traits.get(customer_id, {}),
        "identifiers": [
            {"type": row["identifier_type"], "value": row["identifier_value"]}
            for row in identifiers
        ],
    }
    return Entry(
        customer_id,
        "profile",
        content_hash,
        json.dumps(document, default=_plain, ensure_ascii=False),
        tuple(
            alias(key, row["identifier_type"], row["identifier_value"])
            for row in identifiers
            if row["customer_count"] == 1
        ),
    )


def _rows(
    reader: Reader, table: str, columns: Sequence[str], which: str
) -> dict[str, dict[str, Any]]:
    """Rows by customer id. A value that the golden record lacks is absent: it was decided there."""
    sql = f"select customer_id, {', '.join(columns)} from {table} where {which}"
    return {
        row.pop("customer_id"): {name: value for name, value in row.items() if value is not None}
        for row in reader.query(sql).to_pylist()
    }


def _identifiers_sql(which: str) -> str:
    return f"""
        with {_SERVED},
        {_IDENTIFIERS}
        select * from identifiers
        where {which}
        order by customer_id, identifier_type, identifier_value
    """


def _cell(column: str) -> str:
    # NULL and the empty text differ.
    return f"coalesce('=' || cast({column} as varchar), '')"


def _joined(cells: Sequence[str]) -> str:
    """The cells as one text, apart by a character that no value holds."""
    return " || chr(31) || ".join(cells)


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        # As text: money is exact.
        return str(value)
    raise TypeError(
        f"A column of a profile is a {type(value).__name__}, which JSON has no word for."
    )
