"""Processes that a reader starts for each file, forked here: they read the same in the same way.

HDF5 and LMDB are read by another process first, which a damaged file may end or hold up.  To start
Python takes a hundred times as long as to read a small file; what is tried here is the reading.
They are forks of a small process: to copy the pages of this one, with torch, takes ten times as
long.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from lcplm_graph import apart
from lcplm_graph.datasets import lmdb_values
from lcplm_graph.features import formats, precomputed

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


@contextmanager
def forked() -> Iterator[None]:
    """Fork the processes that read HDF5 and LMDB, instead of starting Python."""
    hdf5 = SimpleNamespace(run=_run, TimeoutExpired=subprocess.TimeoutExpired)
    lmdb = SimpleNamespace(Popen=_Server, PIPE=None, DEVNULL=None)
    with (
        patch.object(apart, "subprocess", hdf5),
        patch.object(lmdb_values, "subprocess", lmdb),
    ):
        yield


def _run(command: list[str], *, timeout: float, **_: Any) -> Any:
    process = _started(_try, command[2:])
    process.join(timeout)
    if process.is_alive():
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(command, timeout)
    return SimpleNamespace(returncode=process.exitcode)


class _Server:
    """Stands for a `subprocess.Popen` with pipes."""

    def __init__(self, command: list[str], **_: Any) -> None:
        keys, self._stdin = _CONTEXT.Pipe(duplex=False)
        self._stdout, answers = _CONTEXT.Pipe(duplex=False)
        self._process = _started(_serve, command[-1], keys, answers)
        keys.close()
        answers.close()
        self.stdin = os.fdopen(os.dup(self._stdin.fileno()), "wb")
        self.stdout = os.fdopen(os.dup(self._stdout.fileno()), "rb")
        self._stdin.close()
        self._stdout.close()

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def communicate(self) -> None:
        """Wait for its end."""
        self._process.join()
        self.stdout.close()
        with suppress(OSError):  # what was not sent is lost
            self.stdin.close()


def _started(work: Callable[..., None], *arguments: Any) -> Any:
    process = _CONTEXT.Process(target=work, args=arguments)
    where = os.pathsep.join(part for part in sys.path if part)
    # It shall find this module, and need not import what is run.
    with (
        patch.dict(os.environ, {"PYTHONPATH": where}),
        patch.dict(sys.modules, {"__main__": ModuleType("__main__")}),
    ):
        process.start()
    return process


def _try(command: list[str]) -> None:
    _be_silent()
    module, path, *more = command
    if module == formats.__name__:
        formats._h5_info(path, *more)
    else:
        precomputed._read_h5(Path(path), more[0] or None)


def _serve(path: str, keys: Connection, answers: Connection) -> None:
    _be_silent()
    with (
        os.fdopen(os.dup(keys.fileno()), "rb") as asked,
        os.fdopen(os.dup(answers.fileno()), "wb") as told,
    ):
        lmdb_values._serve(path, asked, told)


def _be_silent() -> None:
    faulthandler.disable()
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
