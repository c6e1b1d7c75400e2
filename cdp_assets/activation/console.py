"""`cdp profile get`: one profile from the store, as JSON.

Here: what a person typed made into a key of the store. It is personal data, and so is the answer:
nothing here logs, and no error repeats it.
"""

from __future__ import annotations

import json
from typing import Final

import pyarrow as pa

from cdp_assets.activation.aliases import alias
from cdp_assets.errors import PlatformError
from cdp_assets.identity.references import email_key
from cdp_assets.resources.build import build_profile_store, build_secrets, build_warehouse
from cdp_assets.resources.profile_store import StoredProfile
from cdp_assets.settings import Settings
from cdp_assets.sources.phones import parse_number

CUSTOMER: Final = "customer_id"
RECORD: Final = "record"


class NotFoundError(PlatformError):
    """Nobody is found: unknown, erased, or an identifier that several customers gave."""


def look_up(settings: Settings, kind: str, value: str) -> str:
    """The profile that a value leads to, as JSON.

    Args:
        settings: of the tenant.
        kind: customer_id, record, or a type of identifiers.
        value: as typed.

    Raises:
        NotFoundError: it leads to nobody.
    """
    found = _find(settings, kind, value.strip())
    if found is None:
        raise NotFoundError(
            "Not found: unknown, erased, or given by several customers. `cdp explain` knows more."
        )
    document = json.loads(found.document)
    written_by = {"sync_number": found.origin.sync_number, "run_id": found.origin.run_id}
    document["written_by"] = {**written_by, "load_id": found.origin.load_id}
    return json.dumps(document, indent=2, ensure_ascii=False)


def _find(settings: Settings, kind: str, value: str) -> StoredProfile | None:
    store = build_profile_store(settings)
    if kind == CUSTOMER:
        return store.get(value)
    if kind == RECORD:
        owner = _owner(settings, value)
        return store.get(owner) if owner else None
    return store.find(alias(build_secrets(settings).hmac_key(), kind, _normalised(kind, value)))


def _owner(settings: Settings, record_id: str) -> str | None:
    """Whose a record is: records are no keys of the store, so the warehouse is asked."""
    with build_warehouse(settings).published() as reader:
        rows = reader.query(
            "select customer_id from identity.customer_map"
            " where record_id in (select record_id from wanted)",
            {"wanted": pa.table({"record_id": [record_id]})},
        )
    return rows["customer_id"][0].as_py() if len(rows) else None


def _normalised(kind: str, value: str) -> str:
    if kind == "email":
        return email_key(value)
    return (parse_number(value, None) or value) if kind == "phone" else value
