"""Identifiers as keys of the profile store: hashes that only the tenant can make.

A plain hash of a telephone number is found by trying all numbers; under a secret key it is not, and
the same identifier has another alias at every tenant. Not here: where the key is kept
(`resources/secrets`).
"""

from __future__ import annotations

import hashlib
import hmac


def alias(key: bytes, identifier_type: str, value: str) -> bytes:
    """HMAC-SHA256 (RFC 2104) of an identifier: 32 bytes.

    Args:
        key: of the tenant.
        identifier_type: types never meet: user id 7 is not loyalty id 7.
        value: normalised, as in `profile.customer_identifiers`.
    """
    return hmac.digest(key, f"{identifier_type}\0{value}".encode(), hashlib.sha256)


def key_version(key: bytes) -> str:
    """A name for a key that says nothing of it, so that another key renews every alias."""
    return hmac.digest(key, b"version", hashlib.sha256).hex()[:16]
