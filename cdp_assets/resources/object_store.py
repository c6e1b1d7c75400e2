"""The lake: objects by key, in a local folder or in any S3 bucket.

Here: the interface `ObjectStore`, one class per back end, and which keys are no objects yet.
Belongs here: moving bytes by key. Not here: what the keys mean (`sources.raw`, `planner`).

obstore gives DuckDB its view of s3://, and no more: one object with an odd name (a newline, `..`)
makes its whole listing fail, and its local store follows symbolic links out of the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, Protocol, cast

import boto3
import duckdb
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.fsspec import FsspecStore

from cdp_assets.errors import PlatformError, disk_fault
from cdp_assets.failpoints import reach
from cdp_assets.resources.aws import aws_fault, code_of

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

# Reads are this large: few system calls or requests, and little memory.
READ_BYTES = 1 << 20
_INCOMPLETE_SUFFIXES = (".tmp", ".part", ".partial", ".crdownload", "_$folder$")
_INCOMPLETE_FOLDERS = ("_temporary", "_tmp")
# How often the rest of an object is asked for before a broken connection is an error.
_BODY_TRIES: Final = 5
_FIRST_PAUSE_SECONDS: Final = 0.1


class KeyRefusedError(PlatformError):
    """A key would leave the store, or cannot be an object key at all."""


class StoreError(PlatformError):
    """Disk or network did not do as asked; the message names the object and what to do."""


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
    """Objects by key. A write is seen whole or not at all.

    Whatever disk or network fail at is a StoreError, and safe to ask for again.
    """

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
                with suppress(ObjectMissingError):  # deleted since its folder was listed
                    path = self._root / key
                    with _reading(key, path):
                        info = _local_info(key, os.lstat(path))
                    yield info

    def head(self, key: str) -> ObjectInfo:
        """The current version of one object; raises ObjectMissingError."""
        path = self._path(key)
        with _reading(key, path):
            return _local_info(key, path.stat())

    @contextmanager
    def open_reader(self, key: str) -> Iterator[tuple[ObjectInfo, BinaryIO]]:
        """Open one version; raises ObjectMissingError, ObjectChangedError."""
        path = self._path(key)
        told = partial(_reading, key, path)
        with told():
            handle = path.open("rb")
        with handle:
            before = _local_info(key, os.fstat(handle.fileno()))
            yield before, _told_file(handle, told)
            if _local_info(key, os.fstat(handle.fileno())) != before:
                raise ObjectChangedError(key)

    @contextmanager
    def open_writer(self, key: str) -> Iterator[BinaryIO]:
        """Write beside the object, then rename over it."""
        path = self._path(key)
        scratch, told = _scratch_of(path), partial(_writing, path)
        with told():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = _claimed(scratch)
        try:
            yield _told_file(handle, told)
            with told():
                handle.flush()
                reach("lake.before_commit")
                scratch.replace(path)
            reach("lake.after_commit")
        except BaseException:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise
        finally:
            # Closed last, as that lets the next writer of the key in. What is still to be written
            # after an error may not fit, which says nothing new.
            with suppress(OSError):
                handle.close()

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
        path = self._path(key)
        with _writing(path):
            path.unlink(missing_ok=True)
            _scratch_of(path).unlink(missing_ok=True)

    def url(self, key: str) -> str:
        """The path of a key, or of a glob of keys."""
        return str(self._root / key)

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """DuckDB reads local files by itself."""

    def _names_in(self, folder: str, after: str) -> list[str]:
        """Keys of the files and folders (with `/`) in a folder that may lie past `after`."""
        path = self._root / folder
        found: list[str] = []
        with suppress(ObjectMissingError), _reading(folder, path), os.scandir(path) as entries:
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


def _scratch_of(path: Path) -> Path:
    """Where a file is written before it is renamed.

    The same place each time: what a killed writer left there goes when the file is written again.
    """
    digest = hashlib.sha1(path.name.encode(), usedforsecurity=False).hexdigest()
    return path.with_name(f".{digest}.tmp")


def _claimed(scratch: Path) -> BinaryIO:
    """A scratch file, empty, and of one writer alone until it is closed."""
    while True:
        handle = os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT, 0o666), "wb")
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Whoever held it before has renamed it away: then this is not the scratch file any more.
        with suppress(FileNotFoundError):
            if scratch.stat().st_ino == os.fstat(handle.fileno()).st_ino:
                handle.truncate()
                return handle
        handle.close()


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

    Requests are retried by botocore (`standard` mode: 5 attempts with backoff), and what follows
    where an object broke off is asked for again.

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
        with self._told("s3:ListBucket", f"{prefix.rstrip('/')}/"):
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"].removeprefix(self._root)
                    if not is_incomplete(key):
                        yield _s3_info(key, item, item["Size"])

    def head(self, key: str) -> ObjectInfo:
        """The current version of one object; raises ObjectMissingError."""
        path = self._path(key)
        with self._told("s3:GetObject", key):
            answer = self._client.head_object(Bucket=self._bucket, Key=path)
        return _s3_info(key, answer, answer["ContentLength"])

    @contextmanager
    def open_reader(self, key: str) -> Iterator[tuple[ObjectInfo, BinaryIO]]:
        """Open one version: a single GET is of one version by S3's own promise."""
        get = partial(self._client.get_object, Bucket=self._bucket, Key=self._path(key))
        told = partial(self._told, "s3:GetObject", key)
        with told():
            answer = get()
        info = _s3_info(key, answer, answer["ContentLength"])
        body = _Body(
            answer["Body"],
            # Of another version nothing may follow.
            lambda start: get(Range=f"bytes={start}-", IfMatch=answer["ETag"])["Body"],
        )
        with closing(body):
            yield info, _told_file(body, told)

    @contextmanager
    def open_writer(self, key: str) -> Iterator[BinaryIO]:
        """Write a local scratch file, then send it: an upload is seen whole or not at all."""
        path = self._path(key)
        with _scratch_file() as scratch:
            yield scratch
            with self._told("s3:PutObject", key):
                try:
                    self._send(scratch, path)
                except ClientError as error:
                    if code_of(error) != "NoSuchUpload":
                        raise
                    # The parts were put together, the answer was lost, and asking again found
                    # nothing to put together.
                    self._send(scratch, path)

    def read(self, key: str) -> bytes:
        """One small object, whole; raises ObjectMissingError."""
        with self.open_reader(key) as (_, handle):
            return handle.read()

    def write(self, key: str, content: bytes) -> None:
        """Make `key` hold exactly `content`."""
        path = self._path(key)
        with self._told("s3:PutObject", key):
            self._client.put_object(Bucket=self._bucket, Key=path, Body=content, **self._encryption)

    def delete(self, key: str) -> None:
        """Remove one object; one that is not there is no error."""
        path = self._path(key)
        with self._told("s3:DeleteObject", key):
            self._client.delete_object(Bucket=self._bucket, Key=path)

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

    def _send(self, scratch: BinaryIO, path: str) -> None:
        scratch.seek(0)
        self._client.upload_fileobj(scratch, self._bucket, path, self._encryption)

    @contextmanager
    def _told(self, action: str, key: str) -> Iterator[None]:
        """Turn what S3 says into an error of ours, which names action and object."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            if code_of(error) in ("404", "NoSuchKey", "NotFound"):
                raise ObjectMissingError(key) from None
            if code_of(error) in ("412", "PreconditionFailed"):
                raise ObjectChangedError(key) from None
            raise StoreError(f"{action} on {self.url(key)} failed: {aws_fault(error)}") from error

    def _path(self, key: str) -> str:
        return self._root + check_key(key)


class _Body(io.RawIOBase):
    """The bytes of one version of an object; where the connection breaks, they are asked for again.

    Args:
        body: as botocore gives it.
        rest: gives a body of the bytes from here on.
    """

    def __init__(self, body: Any, rest: Callable[[int], Any]) -> None:
        self._body = body
        self._rest = rest
        self._at = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        failed = 0
        while True:
            try:
                block = self._body.read(None if size < 0 else size)
            except BotoCoreError:
                failed += 1
                if failed == _BODY_TRIES:
                    raise
                self._body.close()
                time.sleep(_FIRST_PAUSE_SECONDS * 2**failed)
                self._body = self._rest(self._at)
            else:
                self._at += len(block)
                return block

    def close(self) -> None:
        self._body.close()
        super().close()


class _S3FileSystem(FsspecStore):
    # Without a protocol of its own it does not strip s3:// before it globs, and finds nothing.
    protocol = "s3"


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
    with _scratch_file() as scratch:
        while block := handle.read(READ_BYTES):
            scratch.write(block)
        scratch.seek(0)
        yield scratch


@contextmanager
def _scratch_file() -> Iterator[BinaryIO]:
    """A file without a name, which is gone when the block ends or the process dies."""
    told = partial(_writing, Path(tempfile.gettempdir()))
    with ExitStack() as stack:
        with told():
            scratch = stack.enter_context(tempfile.TemporaryFile())
        yield _told_file(scratch, told)


@contextmanager
def _reading(key: str, path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ObjectMissingError(key) from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {disk_fault(error)}") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {disk_fault(error)}") from error


def _told_file(file: Any, told: Callable[[], AbstractContextManager[None]]) -> BinaryIO:
    return cast(BinaryIO, _ToldFile(file, told))


class _ToldFile:
    """A file whose faults are told as those of its object, wherever it is read or written.

    Args:
        file: to read or to write.
        told: turns an error into one of ours.
    """

    def __init__(self, file: Any, told: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._told = told

    def read(self, size: int = -1) -> bytes:
        with self._told():
            return self._file.read(size)

    def write(self, data: Any) -> int:
        with self._told():
            return self._file.write(data)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        # What is written may wait until here.
        with self._told():
            return self._file.seek(place, whence)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
