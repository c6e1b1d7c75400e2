"""What work costs: CPU, wall time and memory of a whole process tree.

Here: one command (`measure`), and stages of this process with the children they wait for (`Meter`).
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


class Meter:
    """Measures stages of this process one after the other.

    Attributes:
        stages: what each cost, by name; a stage that came twice is added up.
    """

    def __init__(self) -> None:
        self.stages: dict[str, Cost] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block, with every child process that it waits for."""
        peak = _PeakMemory(os.getpid())
        cpu, wall = _cpu_seconds(), time.monotonic()
        try:
            yield
        finally:
            cost = Cost(_cpu_seconds() - cpu, time.monotonic() - wall, peak.stop())
            self.stages[name] = sum_of([*filter(None, [self.stages.get(name)]), cost])

    @property
    def total(self) -> Cost:
        """All stages together."""
        return self.of(list(self.stages))

    def of(self, names: Sequence[str]) -> Cost:
        """These stages together."""
        return sum_of([self.stages[name] for name in names])


def sum_of(costs: Sequence[Cost]) -> Cost:
    """Costs of work done one after the other: times add up, of the peaks the greatest counts."""
    return Cost(
        cpu_seconds=sum(cost.cpu_seconds for cost in costs),
        wall_seconds=sum(cost.wall_seconds for cost in costs),
        peak_bytes=max((cost.peak_bytes for cost in costs), default=0),
    )


def _cpu_seconds() -> float:
    """User and system time of this process and the children it waited for."""
    return sum(os.times()[:4])


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
        self._sample()
        while not self._done.wait(_POLL_SECONDS):
            self._sample()

    def _sample(self) -> None:
        try:
            tree = [self._process, *self._process.children(recursive=True)]
            self._peak = max(self._peak, sum(one.memory_info().rss for one in tree))
        except psutil.NoSuchProcess:
            # A child ended between the listing and the reading; the next sample counts.
            return
