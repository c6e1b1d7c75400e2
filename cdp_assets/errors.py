"""The platform's own errors: one sentence that names what failed and what to do.

The command line prints such an error without a traceback. Not here: faults in our own code.
"""

from __future__ import annotations


class PlatformError(Exception):
    """Base of every error that a user can act on."""
