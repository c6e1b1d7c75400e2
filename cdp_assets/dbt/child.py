"""dbt as a child that never outlives the run which started it.

A run killed with SIGKILL cannot stop its children: without this, `dbt build` went on alone under
the init process and kept the warehouse locked. Installed as the command `cdp-dbt`.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from importlib.metadata import version

from cdp_assets.failpoints import arm, is_armed, of_dbt
from cdp_assets.settings import load_settings

_POLL_SECONDS = 1.0
_EXIT_ORPHANED = 113


def main() -> None:
    """Run the dbt command line, and end at once when the parent process is gone."""
    parent = os.getppid()
    # A run that a script started in the background hands on that SIGINT is ignored: dbt could not
    # be told to stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    call_dbt()


def call_dbt() -> None:
    """Do what the arguments of this process ask of dbt; exits with dbt's own codes."""
    if sys.argv[1:] == ["--version"]:
        # Dagster asks this before each run, and dbt would ask PyPI whether there is a newer one.
        sys.stdout.write(f"dbt-core {version('dbt-core')}\n")
        return

    # Nearly all that dbt makes lives until it ends; looking through it for what does not costs a
    # sixth of its start.
    gc.disable()

    from dbt.cli.main import cli, dbtRunner

    settings = load_settings()
    if settings.dbt_target == "aws":
        from cdp_assets.dbt.discreet_athena import keep_values_back

        keep_values_back()
    arm(settings.failpoint)
    if is_armed():
        sys.exit(0 if dbtRunner(callbacks=[of_dbt]).invoke(sys.argv[1:]).success else 1)
    sys.argv[0] = "dbt"
    cli()


def end_with(parent: int) -> None:
    """End this process as soon as `parent` is no longer its parent."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(_EXIT_ORPHANED)
