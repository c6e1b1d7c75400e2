"""The lake: objects by key, in a local folder or in any S3 bucket.

Here: the interface `ObjectStore`, one class per back end, and which keys are no objects yet.
Belongs here: moving bytes by key. Not here: what the keys mean (`sources.raw`, `planner`).

obstore gives DuckDB its view of s3://, and no more: one object with an odd name (a newline, `..`)
makes its whole listing fail, and its local store follows symbolic links out of the folder.
"""

from __future__ import annotations

import os
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol

import boto3
import duckdb
from botocore.config import Config
from botocore.exceptions import ClientError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.fsspec import FsspecStore

from cdp_assets.errors import PlatformError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

# Reads are this large: few system calls or requests, and little memory.
READ_BYTES = 1 << 20
_INCOMPLETE_SUFFIXES = (".tmp", ".part", ".partial", ".crdownload", "_$folder$")
_INCOMPLETE_FOLDERS = ("_temporary", "_tmp")


class KeyRefusedError(PlatformError):
    """A key would leave the store, or cannot be an object key at all."""


class ObjectMissingError(FileNotFoundError):
    """The object is not there (any more)."""


class ObjectChangedError(RuntimeError):
    """The object was written to while it was read; nothing of what was read may be kept."""


@dataclass(frozen=True)
class ObjectInfo:
    """One version of one object.

    Attributes:
        key: its path below the root, with `/` between parts.
        version: another content gives another version (S3: ETag; local: size and mtime in ns). The
            same content written again may, too: under SSE-KMS each writing has an ETag of its own.
            Empty for a symbolic link, which is listed to be reported, and never followed.
        size: in bytes, as stored.
        modified_at: UTC; clocks differ, so it orders nothing.
    """

    key: str
    version: str
    size: int
    modified_at: datetime

    @property
    def is_link(self) -> bool:
        """Whether it is no object but a symbolic link."""
        return not self.version


class ObjectStore(Protocol):
    """Objects by key. A write is seen whole or not at all."""

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """Every complete object below the folder `prefix`, by key; only keys past `after`.

        A stream: who stops reading early pays for little more than what was read.
        """
        ...

    def head(self, key: str) -> ObjectInfo:
        """The current version of one object; raises ObjectMissingError."""
        ...

    def open_reader(self, key: str) -> AbstractContextManager[tuple[ObjectInfo, BinaryIO]]:
        """Open one version for one pass from start to end, in bounded memory.

        Raises ObjectMissingError; leaving the block raises ObjectChangedError when the bytes
        may be of two versions.
        """
        ...

    def open_writer(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Write one object; it appears when the block ends, and not if the block raises."""
        ...

    def read(self, key: str) -> bytes:
        """One small object, whole; raises ObjectMissingError."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Make `key` hold exactly `content`."""
        ...

    def delete(self, key: str) -> None:
        """Remove one object; one that is not there is no error."""
        ...

    def url(self, key: str) -> str:
        """The address of a key (or of a glob of keys) for DuckDB and pyarrow."""
        ...

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a DuckDB connection read the addresses that `url` gives."""
        ...


def is_incomplete(key: str) -> bool:
    """Tell whether a key is a writer's scratch file, a folder marker or a hidden file."""
    *folders, name = key.split("/")
    return (
        not name
        or name.endswith(_INCOMPLETE_SUFFIXES)
        or any(part in _INCOMPLETE_FOLDERS for part in folders)
        # `.` and `..` are no hidden files but an attack: those keys are reported, not passed over.
        or any(part.startswith(".") and part.strip(".") for part in (*folders, name))
    )


def is_key(key: str) -> bool:
    """Tell whether a key stays below the root and can be printed on one line.

    At most 1,024 bytes, no empty, `.` or `..` part (so none is absolute), and no character that
    does not print: a newline would forge a log line.
    """
    return (
        not any(part in ("", ".", "..") for part in key.split("/"))
        and key.isprintable()
        and len(key.encode(errors="replace")) <= 1024
    )


def check_key(key: str) -> str:
    """Give the key back.

    Raises:
        KeyRefusedError: it is none.
    """
    if not is_key(key):
        raise KeyRefusedError(f"{key!r} is no object key: it must be a plain path below the lake.")
    return key


class LocalObjectStore:
    """A folder. Symbolic links are listed as what they are, and never followed.

    Args:
        root: the folder; made when the first object is written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """Every complete object below the folder `prefix`, by key; only keys past `after`."""
        folder = prefix.rstrip("/")
        if (self._root / check_key(folder)).is_symlink():
            yield _local_info(folder, os.lstat(self._root / folder))
            return
        self._path(folder)
        # Names alone wait on the stack: a folder may hold a hundred thousand.
        pending = [f"{folder}/"]
        while pending:
            key = pending.pop()
            if key.endswith("/"):
                pending += reversed(self._names_in(key, after))
            elif not is_incomplete(key):
                with suppress(FileNotFoundError):  # deleted since its folder was listed
                    yield _local_info(key, os.lstat(self._root / key))

    def head(self, key: str) -> ObjectInfo:
        """The current version of one object; raises ObjectMissingError."""
        try:
            return _local_info(key, self._path(key).stat())
        except FileNotFoundError:
            raise ObjectMissingError(key) from None

    @contextmanager
    def open_reader(self, key: str) -> Iterator[tuple[ObjectInfo, BinaryIO]]:
        """Open one version; raises ObjectMissingError, ObjectChangedError."""
        try:
            handle = self._path(key).open("rb")
        except FileNotFoundError:
            raise ObjectMissingError(key) from None
        with handle:
            before = _local_info(key, os.fstat(handle.fileno()))
            yield before, handle
            if _local_info(key, os.fstat(handle.fileno())) != before:
                raise ObjectChangedError(key)

    @contextmanager
    def open_writer(self, key: str) -> Iterator[BinaryIO]:
        """Write beside the object, then rename over it."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with scratch.open("xb") as handle:
                yield handle
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)

    def read(self, key: str) -> bytes:
        """One small object, whole; raises ObjectMissingError."""
        with self.open_reader(key) as (_, handle):
            return handle.read()

    def write(self, key: str, content: bytes) -> None:
        """Make `key` hold exactly `content`."""
        with self.open_writer(key) as handle:
            handle.write(content)

    def delete(self, key: str) -> None:
        """Remove one object; one that is not there is no error."""
        self._path(key).unlink(missing_ok=True)

    def url(self, key: str) -> str:
        """The path of a key, or of a glob of keys."""
        return str(self._root / key)

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """DuckDB reads local files by itself."""

    def _names_in(self, folder: str, after: str) -> list[str]:
        """Keys of the files and folders (with `/`) in a folder that may lie past `after`."""
        try:
            entries = os.scandir(self._root / folder)
        except FileNotFoundError:
            return []
        found: list[str] = []
        with entries:
            for entry in entries:
                key = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if f"{key}/" > after or after.startswith(f"{key}/"):
                        found.append(f"{key}/")
                elif key > after and (entry.is_symlink() or entry.is_file()):
                    found.append(key)
        found.sort()
        return found

    def _path(self, key: str) -> Path:
        path = self._root / check_key(key)
        # Resolving the parent alone keeps a missing last part legal; the part itself is judged too.
        if path.is_symlink() or not path.parent.resolve().is_relative_to(self._root):
            raise KeyRefusedError(f"{key!r} leads out of the lake through a symbolic link.")
        return path


def _local_info(key: str, status: os.stat_result) -> ObjectInfo:
    is_link = stat.S_ISLNK(status.st_mode)
    return ObjectInfo(
        key=key,
        version="" if is_link else f"{status.st_size:x}-{status.st_mtime_ns:x}",
        size=status.st_size,
        modified_at=datetime.fromtimestamp(status.st_mtime, UTC),
    )


class S3ObjectStore:
    """A bucket, or a prefix in one, on AWS or on any endpoint that speaks S3.

    Requests are retried by botocore (`standard` mode: 5 attempts with backoff).

    Args:
        bucket: its name.
        prefix: the root inside the bucket, or empty.
        region: of the bucket.
        endpoint_url: of another S3 than AWS.
        kms_key: id, ARN or alias of the key that every object is encrypted with; without one the
            bucket's default holds.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        region: str,
        endpoint_url: str | None,
        kms_key: str | None = None,
    ) -> None:
        self._bucket = bucket
        self._root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._region = region
        self._endpoint_url = endpoint_url
        self._encryption: dict[str, Any] = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        )
        self._client = boto3.client(
            "s3",
            region_name=region,
            endpoint_url=endpoint_url,
            config=Config(retries={"mode": "standard", "max_attempts": 5}),
        )

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """Every complete object below the folder `prefix`, by key; only keys past `after`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=f"{self._root}{prefix.rstrip('/')}/",
            **({"StartAfter": f"{self._root}{after}"} if after else {}),
        )
        for page in pages:
            for item in page.get("Contents", []):
                key = item["Key"].removeprefix(self._root)
                if not is_incomplete(key):
                    yield _s3_info(key, item, item["Size"])

    def head(self, key: str) -> ObjectInfo:
        """The current version of one object; raises ObjectMissingError."""
        with _missing(key):
            answer = self._client.head_object(Bucket=self._bucket, Key=self._path(key))
        return _s3_info(key, answer, answer["ContentLength"])

    @contextmanager
    def open_reader(self, key: str) -> Iterator[tuple[ObjectInfo, BinaryIO]]:
        """Open one version: a single GET is of one version by S3's own promise."""
        with _missing(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._path(key))
        with closing(answer["Body"]) as body:
            yield _s3_info(key, answer, answer["ContentLength"]), body

    @contextmanager
    def open_writer(self, key: str) -> Iterator[BinaryIO]:
        """Write a local scratch file, then send it: an upload is seen whole or not at all."""
        path = self._path(key)
        with tempfile.TemporaryFile() as scratch:
            yield scratch
            scratch.seek(0)
            self._client.upload_fileobj(scratch, self._bucket, path, self._encryption)

    def read(self, key: str) -> bytes:
        """One small object, whole; raises ObjectMissingError."""
        with self.open_reader(key) as (_, handle):
            return handle.read()

    def write(self, key: str, content: bytes) -> None:
        """Make `key` hold exactly `content`."""
        self._client.put_object(
            Bucket=self._bucket, Key=self._path(key), Body=content, **self._encryption
        )

    def delete(self, key: str) -> None:
        """Remove one object; one that is not there is no error."""
        self._client.delete_object(Bucket=self._bucket, Key=self._path(key))

    def url(self, key: str) -> str:
        """The s3:// address of a key, or of a glob of keys."""
        return f"s3://{self._bucket}/{self._root}{key}"

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """DuckDB's wheel has no httpfs: it reads s3:// through this fsspec file system."""
        config: S3Config = {"region": self._region}
        client: ClientConfig = {}
        if self._endpoint_url:
            config["endpoint"] = self._endpoint_url
            client["allow_http"] = self._endpoint_url.startswith("http://")
        connection.register_filesystem(
            _S3FileSystem(
                "s3",
                config=config,
                client_options=client,
                credential_provider=Boto3CredentialProvider(),
            )
        )

    def _path(self, key: str) -> str:
        return self._root + check_key(key)


class _S3FileSystem(FsspecStore):
    # Without a protocol of its own it does not strip s3:// before it globs, and finds nothing.
    protocol = "s3"


@contextmanager
def _missing(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey", "NotFound"):
            raise ObjectMissingError(key) from None
        raise


def _s3_info(key: str, meta: Any, size: int) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        version=meta["ETag"].strip('"'),
        size=size,
        modified_at=meta["LastModified"],
    )


@contextmanager
def seekable(handle: IO[bytes]) -> Iterator[IO[bytes]]:
    """The same bytes as a file with random access: itself, or a scratch copy on disk."""
    if handle.seekable():
        yield handle
        return
    with tempfile.TemporaryFile() as scratch:
        while block := handle.read(READ_BYTES):
            scratch.write(block)
        scratch.seek(0)
        yield scratch
