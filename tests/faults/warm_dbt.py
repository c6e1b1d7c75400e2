"""dbt for the kills, loaded once: loading it takes longer than most of what a killed step does.

Here: a process that has loaded dbt, with what dbt would make anew for each call, and forks for
each; `warm_dbt_client.py` stands in for `cdp-dbt` and hands it the calls. As with the real one, a
call dies within a second when the run that made it is killed, and the run sees when its call dies.
Not here: what a call does (`cdp_assets.dbt.child`); the real command, whose runs
test_orchestrator.py kills.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from dagster_dbt import DbtProject
from dbt.cli.main import dbtRunner
from dbt_common.clients.jinja import template_cache

from cdp_assets.dbt.child import call_dbt

_CLIENT: Final = Path(__file__).with_name("warm_dbt_client.py")
_LOADED: Final = ("dbt.task.build", "dbt.adapters.duckdb", "cdp_assets.dbt.confined")
_POLL_SECONDS: Final = 1.0


def start(folder: Path, project: DbtProject, target: str) -> Path:
    """Fork a process that serves calls until this one ends; gives the command that calls it.

    This process must have no threads.

    Args:
        folder: where the command is written.
        project: has been parsed for this target and the settings in the environment.
        target: of the calls.
    """
    # The path of a socket must be short, which that of a test's folder is not.
    place = Path(tempfile.mkdtemp(prefix="cdp-dbt-")) / "socket"
    command = folder / "warm-dbt"
    words = [sys.executable, "-IS", str(_CLIENT), str(place)]
    command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    command.chmod(0o755)
    parent = os.getpid()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        if os.fork() == 0:
            try:
                _serve(listener, parent, partial(_warm_up, folder / "warm", project, target))
                shutil.rmtree(place.parent)
            except BaseException:  # noqa: BLE001 (a forked process must never return)
                traceback.print_exc()
            finally:
                os._exit(0)
    return command


def _serve(listener: socket.socket, parent: int, prepare: Callable[[], None]) -> None:
    # Nobody waits for the calls that ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener.settimeout(_POLL_SECONDS)
    is_prepared = False
    while os.getppid() == parent:
        try:
            caller, _ = listener.accept()
        except TimeoutError:
            continue
        if not is_prepared:
            prepare()
            is_prepared = True
        if os.fork() == 0:
            listener.close()
            _answer(caller)
        caller.close()


def _warm_up(folder: Path, project: DbtProject, target: str) -> None:
    """Load dbt, and let it make what it keeps from one call to the next."""
    for name in _LOADED:
        importlib.import_module(name)
    folder.mkdir()
    # Aside, as dbt writes it again.
    shutil.copy(project.manifest_path.with_name("partial_parse.msgpack"), folder)
    places = [
        *("--project-dir", str(project.project_dir)),
        *("--profiles-dir", str(project.profiles_dir)),
        *("--target-path", str(folder)),
    ]
    options = ["--quiet", "--log-level-file", "none", "--target", target]
    read: Any = dbtRunner().invoke(["parse", *options, *places])
    assert read.success, read.exception
    for macro in read.result.macros.values():
        template_cache.get_node_template(macro)
    # To parse anything anew it starts threads, and a fork of a process with threads may hang.
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "dbt did not use what it had parsed"
    gc.freeze()


def _answer(caller: socket.socket) -> NoReturn:
    """Do what a client asks, in its place; tell it the exit code."""
    code = 2
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        caller.setblocking(True)
        _, outputs, _, _ = socket.recv_fds(caller, 1, 2)
        for place, output in enumerate(outputs, start=1):
            os.dup2(output, place)
        with caller.makefile() as lines:
            arguments, folder, environment = json.loads(lines.readline())
        threading.Thread(target=_end_with, args=(caller,), daemon=True).start()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["dbt", *arguments]
        call_dbt()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 (a forked process must never return)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        with suppress(OSError):
            caller.sendall(bytes([code]))
        os._exit(code)


def _end_with(caller: socket.socket) -> None:
    """End this process as soon as the client is gone."""
    caller.recv(1)
    os._exit(1)
