"""Secrets of a tenant: the key under which identifiers are hashed.

Here: the interface and one class per back end. A secret is never logged, shown or put into an
error. Not here: what is hashed with it (`activation/aliases`).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cdp_assets.errors import PlatformError, disk_fault

# As long as the hash: a shorter key could be guessed first.
_KEY_BYTES: Final = 32


class SecretError(PlatformError):
    """A secret cannot be had; the message says what to do."""


class Secrets(Protocol):
    """What only this tenant knows."""

    def hmac_key(self) -> bytes:
        """The key of the hashes of identifiers, 32 bytes or more; the same for ever."""
        ...


class FileSecrets:
    """A file of random bytes that only its owner may read.

    Args:
        path: the file; made with its folder on first use.
        is_in_use: tells whether hashes under this key are kept somewhere; then no other is made.
    """

    def __init__(self, path: Path, is_in_use: Callable[[], bool] = lambda: False) -> None:
        self._path = path
        self._is_in_use = is_in_use

    def hmac_key(self) -> bytes:
        """The key in the file.

        Raises:
            SecretError: others may read the file, it is cut short, it is gone and was in use, or
                the disk fails.
        """
        try:
            return self._read()
        except OSError as error:
            raise SecretError(f"{self._path} cannot be used: {disk_fault(error)}") from error

    def _read(self) -> bytes:
        if not self._path.exists():
            if self._is_in_use():
                raise SecretError(
                    f"{self._path} is gone, and the profile store holds hashes made with it: "
                    "restore it from a backup, or make both anew by `cdp doctor --rebuild`."
                )
            self._make()
        if self._path.stat().st_mode & 0o077:
            raise SecretError(f"Others may read {self._path}: `chmod 600` it.")
        key = self._path.read_bytes()
        if len(key) < _KEY_BYTES:
            raise SecretError(
                f"{self._path} holds {len(key)} bytes in place of {_KEY_BYTES}: restore it from "
                "a backup, or make it and the profile store anew by `cdp doctor --rebuild`."
            )
        return key

    def _make(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            with os.fdopen(
                os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb"
            ) as f:
                f.write(secrets.token_bytes(_KEY_BYTES))
            # Whole or not at all, and the first of two processes wins.
            self._path.hardlink_to(scratch)
        except FileExistsError:
            return
        finally:
            scratch.unlink(missing_ok=True)


class SecretsManagerSecrets:
    """A secret of AWS Secrets Manager, read once per process.

    Args:
        client: of boto3, for Secrets Manager.
        name: of the secret: binary, or text that counts as its UTF-8 bytes.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name
        self._key: bytes | None = None

    def hmac_key(self) -> bytes:
        """The key in the secret.

        Raises:
            SecretError: it cannot be read, or is too short.
        """
        if self._key is None:
            self._key = self._read()
        return self._key

    def _read(self) -> bytes:
        try:
            answer = self._client.get_secret_value(SecretId=self._name)
        except (ClientError, BotoCoreError) as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
            raise SecretError(
                f"The secret {self._name} cannot be read ({code}): look at CDP_SECRET_NAME, and at "
                "secretsmanager:GetSecretValue of this role."
            ) from error
        key = answer.get("SecretBinary") or answer.get("SecretString", "").encode()
        if len(key) < _KEY_BYTES:
            raise SecretError(
                f"The secret {self._name} holds {len(key)} bytes: put {_KEY_BYTES} random ones in."
            )
        return key
