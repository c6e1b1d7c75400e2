"""The key of the hashes: made once, kept for ever, read by nobody else."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cdp_assets.resources.secrets import FileSecrets, SecretError, SecretsManagerSecrets
from tests.unit.aws import client_of
from tests.unit.s3 import s3_endpoint

__all__ = ["s3_endpoint"]


def test_a_key_is_made_on_first_use_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "home" / "hmac.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: FileSecrets(path).hmac_key(), range(16)))
    assert [len(key) for key in keys] == [32]
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert FileSecrets(tmp_path / "other").hmac_key() not in keys


@pytest.mark.fault("F44")
def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hmac.key"
    FileSecrets(path).hmac_key()
    path.chmod(0o640)
    with pytest.raises(SecretError, match="Others may read"):
        FileSecrets(path).hmac_key()


@pytest.mark.fault("F44")
def test_a_key_that_is_cut_short_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "hmac.key"
    path.touch(mode=0o600)
    path.write_bytes(b"guess")
    with pytest.raises(SecretError, match="holds 5 bytes in place of 32") as caught:
        FileSecrets(path).hmac_key()
    assert "guess" not in str(caught.value)


@pytest.mark.parametrize("content", [{"SecretBinary": b"b" * 32}, {"SecretString": "b" * 32}])
def test_a_secret_of_secrets_manager_is_read_once(s3_endpoint: str, content: dict) -> None:
    client = client_of("secretsmanager", s3_endpoint)
    name = f"cdp/{uuid.uuid4().hex}/hmac-key"
    client.create_secret(Name=name, **content)
    secrets = SecretsManagerSecrets(client, name)
    assert secrets.hmac_key() == b"b" * 32
    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert secrets.hmac_key() == b"b" * 32


def test_a_secret_that_is_missing_or_too_short_says_what_to_do(s3_endpoint: str) -> None:
    client = client_of("secretsmanager", s3_endpoint)
    name = f"cdp/{uuid.uuid4().hex}/hmac-key"
    with pytest.raises(
        SecretError, match=r"\(ResourceNotFoundException\): look at CDP_SECRET_NAME"
    ):
        SecretsManagerSecrets(client, name).hmac_key()
    client.create_secret(Name=name, SecretString="guess me")
    with pytest.raises(SecretError, match="holds 8 bytes") as caught:
        SecretsManagerSecrets(client, name).hmac_key()
    assert "guess me" not in str(caught.value)
