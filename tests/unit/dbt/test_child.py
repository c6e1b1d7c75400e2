from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.homes import IN_BACKGROUND

_PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
time.sleep(60)
"""
_CHILD = """
import os, threading, time
from cdp_assets.dbt import child
threading.Thread(target=child.end_with, args=(os.getppid(),), daemon=True).start()
time.sleep(60)
"""
_INTERRUPTED = """
import os, signal, sys
from cdp_assets.dbt import child
sys.argv[1:] = ["--version"]
child.main()
os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.fault("F03")
def test_a_dbt_child_ends_within_five_seconds_of_a_killed_run():
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, _CHILD], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(1)
    assert _is_running(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 5
    while _is_running(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_running(child)


@pytest.mark.fault("F04")
def test_a_dbt_child_of_a_run_in_the_background_of_a_script_can_be_told_to_stop():
    command = [*IN_BACKGROUND, sys.executable, "-c", _INTERRUPTED]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGINT


def _is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    if not status.exists():
        return False
    return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
