"""A disk that fails at its nth operation, for Python's calls and for SQLite's statements.

Permissions stop no root and no disk is full when a test needs it: here the calls fail as they
would. `test_disk.py` has limits of the real system beside it.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

# Full, damaged, mounted read-only, not ours: by turns.
ERRORS: Final = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)
_SQLITE: Final = {
    errno.ENOSPC: (sqlite3.SQLITE_FULL, "database or disk is full"),
    errno.EIO: (sqlite3.SQLITE_IOERR, "disk I/O error"),
    errno.EROFS: (sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
    errno.EACCES: (sqlite3.SQLITE_CANTOPEN, "unable to open database file"),
}


class Disk:
    """Counts what is done below a folder, and fails the nth.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._nth = 0
        self._is_after = False
        self.done: list[str] = []
        self.failed = ""

    @contextmanager
    def failing_at(self, nth: int, *, after: bool = False) -> Iterator[None]:
        """Fail the nth operation of the block, with an error that depends on `nth`.

        Args:
            nth: from 1.
            after: the operation is done, and reported as failed all the same.
        """
        self._nth, self._is_after, self.failed = nth, after, ""
        self.done.clear()
        with pytest.MonkeyPatch.context() as patch:
            for name in ("mkdir", "replace", "scandir"):
                patch.setattr(os, name, self._of_path(name, getattr(os, name)))
            for name in ("fsync", "sendfile"):
                patch.setattr(os, name, self._of_handle(name, getattr(os, name)))
            opened = self._opening(builtins.open)
            patch.setattr(builtins, "open", opened)
            patch.setattr(io, "open", opened)
            patch.setattr(sqlite3, "connect", self._connecting(sqlite3.connect))
            yield

    def operate(self, name: str, work: Callable[[], Any]) -> Any:
        """Do one operation, or fail it."""
        self.done.append(name)
        if len(self.done) != self._nth:
            return work()
        self.failed = name
        if self._is_after:
            work()
        number = ERRORS[self._nth % len(ERRORS)]
        if not name.startswith("sqlite"):
            raise OSError(number, os.strerror(number))
        code, message = _SQLITE[number]
        error = sqlite3.OperationalError(message)
        error.sqlite_errorcode = code
        raise error

    def is_mine(self, path: Any) -> bool:
        """Whether a path is below the folder."""
        return isinstance(path, str | os.PathLike) and str(path).startswith(self._root)

    def _of_path(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Any, *arguments: Any, **more: Any) -> Any:
            def work() -> Any:
                return call(path, *arguments, **more)

            return self.operate(name, work) if self.is_mine(path) else work()

        return wrapped

    def _of_handle(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: self.operate(name, lambda: call(*arguments))

    def _opening(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
            if not self.is_mine(path) or "b" not in mode:
                return call(path, mode, *arguments, **more)
            raw = self.operate("open", lambda: _File(self, path, mode.replace("b", "")))
            return io.BufferedReader(raw) if mode == "rb" else io.BufferedWriter(raw)

        return wrapped

    def _connecting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                return disk.operate(
                    "sqlite", lambda: super(Connection, self).execute(sql, *arguments)
                )

        return lambda path, **more: self.operate(
            "sqlite open", lambda: call(path, factory=Connection, **more)
        )


class _File(io.FileIO):
    def __init__(self, disk: Disk, path: Any, mode: str) -> None:
        super().__init__(path, mode)
        self._disk = disk

    def write(self, data: Any, /) -> int:
        return self._disk.operate("write", lambda: super(_File, self).write(data))

    def readinto(self, buffer: Any, /) -> int:
        return self._disk.operate("read", lambda: super(_File, self).readinto(buffer))

    def readall(self) -> bytes:
        return self._disk.operate("read", lambda: super(_File, self).readall())
