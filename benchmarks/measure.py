"""Running a command and measuring what it cost: CPU, wall time and memory of its whole tree."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Cost:
    """What one command cost.

    Attributes:
        cpu_seconds: user and system time of the command and every child it waited for.
        wall_seconds: from start to end.
        peak_bytes: the largest resident size of the whole process tree, sampled ten times a second.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int


def measure(command: Sequence[str], log: Path) -> Cost:
    """Run `command` to its end and measure it.

    Args:
        command: the program and its arguments.
        log: receives what the command prints.

    Raises:
        RuntimeError: the command failed; the message names the log.
    """
    before = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        peak = _PeakMemory(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}: see {log}")
    return Cost(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        wall_seconds=time.monotonic() - before,
        peak_bytes=peak.stop(),
    )


class _PeakMemory:
    """Samples the resident size of a process tree in a thread."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(_POLL_SECONDS):
            try:
                tree = [self._process, *self._process.children(recursive=True)]
                self._peak = max(self._peak, sum(one.memory_info().rss for one in tree))
            except psutil.NoSuchProcess:
                # A child ended between the listing and the reading; the next sample counts.
                continue
