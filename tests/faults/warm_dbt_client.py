"""Stands in for `cdp-dbt`: hands its call to `warm_dbt.py`, and lives as long as the call does.

Imports next to nothing, as it is started for each call.
"""

import json
import os
import select
import socket
import sys
from pathlib import Path

_KILLED = 128 + 9
_POLL_SECONDS = 1.0


def main() -> int:
    """The exit code of the call, once it has ended."""
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        socket.send_fds(server, [b"x"], [1, 2])
        call = [sys.argv[2:], str(Path.cwd()), dict(os.environ)]
        server.sendall(json.dumps(call).encode() + b"\n")
        while os.getppid() == parent:
            if select.select([server], [], [], _POLL_SECONDS)[0]:
                code = server.recv(1)
                return code[0] if code else _KILLED
    return _KILLED


sys.exit(main())
