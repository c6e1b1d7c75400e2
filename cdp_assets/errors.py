"""The platform's own errors: one sentence that names what failed and what to do.

The command line prints such an error without a traceback. Not here: faults in our own code.
"""

from __future__ import annotations

import errno
from typing import Final

_WHAT_TO_DO: Final = {
    errno.ENOSPC: "Free space there",
    errno.EDQUOT: "Free space there, or raise the quota",
    errno.EFBIG: "Raise the limit of file sizes (`ulimit -f`)",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`)",
    errno.EACCES: "Give this user the right",
    errno.EPERM: "Give this user the right",
    errno.EROFS: "Mount it for writing, or set CDP_HOME to another folder",
    errno.ENOTDIR: "Choose another folder",
    errno.EIO: "Look at the disk",
}


class PlatformError(Exception):
    """Base of every error that a user can act on."""


def disk_fault(error: OSError) -> str:
    """What the system said of a file and what to do, as it stands after `... cannot be read: `."""
    said = error.strerror or type(error).__name__
    return f"{said}. {_WHAT_TO_DO.get(error.errno or 0, 'Mend that')}, then run again."
