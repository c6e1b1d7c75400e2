"""Refuses every connection that leaves this machine, and writes it down.

Python imports this module by its name when it starts, if its folder is on PYTHONPATH: so every
child that inherits the environment is guarded, too. Loopback and Unix sockets are let through.
"""

from __future__ import annotations

import os
import sys

_LOG = os.environ.get("CDP_TEST_NETWORK_LOG", "")
_LOCAL = ("127.", "::1", "localhost", "0.0.0.0", "::ffff:127.")


def _is_local(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    # No host at all is any address of this machine, which a server binds.
    return name in (None, "") or (isinstance(name, str) and name.startswith(_LOCAL))


def _guard(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        # A Unix socket has a path, and a connected one no address.
        if not isinstance(address, tuple):
            return
        host = address[0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if _is_local(host):
        return
    with open(_LOG, "a", encoding="utf-8") as log:  # noqa: PTH123 - the least that can fail
        log.write(f"{event} {host!r} by {sys.argv[:2]}\n")
    raise PermissionError(f"{event} to {host!r}: there is no network in this test")


if _LOG:
    sys.addaudithook(_guard)
    # That the guard stood is as much a fact as that nothing ran into it.
    with open(_LOG, "a", encoding="utf-8") as log:  # noqa: PTH123
        log.write(f"# guards process {os.getpid()}\n")
