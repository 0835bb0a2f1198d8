"""Processes that a reader starts for each file, forked here: they read the same in the same way.

HDF5 and LMDB are read by another process first, which a damaged file may end or hold up.  To start
Python takes a hundred times as long as to read a small file; what is tried here is the reading.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from lcplm_graph import apart
from lcplm_graph.datasets import lmdb_values
from lcplm_graph.features import formats, precomputed

_FORK = multiprocessing.get_context("fork")
_READ: dict[str, Callable[..., Any]] = {
    precomputed.__name__: lambda path, species: precomputed._read_h5(Path(path), species or None),
    formats.__name__: formats._h5_info,
}


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
    read = _READ[command[2]]
    process = _FORK.Process(target=_silently, args=(read, *command[3:]))
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(command, timeout)
    return SimpleNamespace(returncode=process.exitcode)


class _Server:
    """Stands for a `subprocess.Popen` with pipes."""

    def __init__(self, command: list[str], **_: Any) -> None:
        keys, self._stdin = os.pipe()
        self._stdout, answers = os.pipe()
        self._process = _FORK.Process(target=self._serve, args=(command[-1], keys, answers))
        self._process.start()
        os.close(keys)
        os.close(answers)
        self.stdin, self.stdout = os.fdopen(self._stdin, "wb"), os.fdopen(self._stdout, "rb")

    def _serve(self, path: str, keys: int, answers: int) -> None:
        os.close(self._stdin)
        os.close(self._stdout)
        with os.fdopen(keys, "rb") as asked, os.fdopen(answers, "wb") as told:
            _silently(lmdb_values._serve, path, asked, told)

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def communicate(self) -> None:
        """Wait for its end."""
        self._process.join()
        self.stdout.close()
        with suppress(OSError):  # what was not sent is lost
            self.stdin.close()


def _silently(work: Callable[..., Any], *arguments: Any) -> None:
    faulthandler.disable()
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    work(*arguments)
